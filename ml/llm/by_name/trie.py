"""The catalogue's names as token ids, and the trie of them as arrays.

A name is written as the line of a purchase without its vertical: `bought: Nike` and a newline. The cue (the ids of
`bought:`) is the same for all and no part of a name's probability; the rest is the name's ids. The terminator is the
newline, which stands in a line's last token and nowhere else: so no name's ids begin another's, every leaf is a
name and every name a leaf. A comma would not do, as names have commas ("Heatmax, Inc."). Lines are joined to a prompt
by their ids, as everywhere (see `ml.llm.tokens`). Advertisers whose names read the same share a leaf.

It knows no model. How to try it: `NameTrie.of([np.array([1, 2, 0]), np.array([1, 3, 0])]).first`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.contexts.render import MAX_FIELD, VERBS
from ml.errors import BadInput
from ml.llm.batches import padded
from ml.llm.tokens import LineTokenizer


@dataclass(frozen=True)
class Names:
    """Distinct names as token ids.

    Attributes:
        cue: ids that stand between the prompt and a name.
        ids: of each distinct name, terminator included.
        of_advertiser: shape (n_advertisers,), each advertiser's row in `ids`.
    """

    cue: np.ndarray
    ids: list[np.ndarray]
    of_advertiser: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str], tokenizer: LineTokenizer) -> Names:
        """Names as the renderer writes them: white space collapsed, MAX_FIELD characters.

        Raises:
            BadInput: the tokenizer joins the cue and a name into one token.
        """
        cue_text = f"{VERBS['conversion']}:"
        lines = [f"{cue_text} {' '.join(name.split())[:MAX_FIELD]}".rstrip() + "\n" for name in names]
        distinct = {line: row for row, line in enumerate(dict.fromkeys(lines))}
        cue = tokenizer.encode_text(cue_text)
        ids = tokenizer.encode_lines(list(distinct))
        for line, found in zip(distinct, ids, strict=True):
            if not np.array_equal(found[: len(cue)], cue):
                raise BadInput(
                    f"the tokenizer does not keep {cue_text!r} apart in {line!r}",
                    where="names of the catalogue",
                    remedy="give the advertiser a name of letters or digits, or use another base model",
                )
        return cls(cue, [found[len(cue) :] for found in ids], np.array([distinct[line] for line in lines]))


@dataclass(frozen=True)
class NameTrie:
    """Nodes by depth, within a depth in the order of the sorted names, so that children stand side by side; 0 is the
    root. All arrays have shape (n_nodes,) but `first`.

    Attributes:
        token: the token that leads into the node (-1 for the root).
        depth: tokens from the root.
        first: shape (n_nodes + 1,): children of node i are nodes first[i]:first[i + 1].
        name: row of the name that ends there, -1 inside the trie.
        low, high: names below the node, as a range of the sorted names.
        end: the next node downwards, or the node itself, that branches or is a leaf: what lies between is forced.
    """

    token: np.ndarray
    depth: np.ndarray
    first: np.ndarray
    name: np.ndarray
    low: np.ndarray
    high: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, ids: Sequence[np.ndarray]) -> NameTrie:
        """The trie of distinct id sequences.

        Raises:
            BadInput: there is none, or one begins another.
        """
        if not ids:
            raise BadInput("the catalogue is empty", where="catalogue", remedy="check active_from and active_to")
        order = np.array(sorted(range(len(ids)), key=lambda row: ids[row].tolist()))
        lengths = np.array([len(ids[row]) for row in order])
        table = padded([ids[row] for row in order])
        inside = np.arange(table.shape[1]) < lengths[:, None]
        fresh = inside.copy()
        fresh[1:] &= np.logical_or.accumulate((table[1:] != table[:-1]) | ~inside[:-1], axis=1)
        depth, row = (found + add for found, add in zip(np.nonzero(fresh.T), (1, 0), strict=True))
        number = np.zeros(table.shape, dtype=np.int64)
        number[row, depth - 1] = np.arange(1, len(row) + 1)
        number = np.maximum.accumulate(number, axis=0)  # a row's node at a depth is the last one begun there
        parent = np.where(depth > 1, number[row, depth - 2], 0)
        children = np.bincount(parent, minlength=len(row) + 1)
        names_below = np.bincount(number[inside], minlength=len(row) + 1)
        leaf = number[np.arange(len(ids)), lengths - 1]
        if children[leaf].any() or names_below[leaf].max() > 1:
            raise BadInput("the ids of one name begin another's", where="catalogue", remedy="use another base model")
        name, low = np.full(len(row) + 1, -1), np.concatenate([[0], row])
        name[leaf] = order
        first = np.concatenate([[1], 1 + np.cumsum(children)])
        return cls(
            token=np.concatenate([[-1], table[row, depth - 1]]),
            depth=np.concatenate([[0], depth]),
            first=first,
            name=name,
            low=low,
            high=low + np.concatenate([[len(ids)], names_below[1:]]),
            end=_ends(np.where(children == 1, first[:-1], np.arange(len(first) - 1))),
        )

    def __len__(self) -> int:
        return len(self.token)

    def children(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All children of some nodes: place in `nodes` of each child's parent, and the child, both (n_children,)."""
        count = self.first[nodes + 1] - self.first[nodes]
        place = np.repeat(np.arange(len(nodes)), count)
        start = np.repeat(self.first[nodes] - (np.cumsum(count) - count), count)
        return place, start + np.arange(len(place))

    def runs(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nodes from each of `nodes` to its end: place in `nodes`, and node, both (n,), run by run downwards."""
        length = self.depth[self.end[nodes]] - self.depth[nodes] + 1
        grid = np.full((len(nodes), int(length.max(initial=1))), -1)
        grid[:, 0] = nodes
        for step in range(1, grid.shape[1]):
            grid[:, step] = np.where(step < length, self.first[grid[:, step - 1]], -1)
        inside = grid >= 0
        return np.nonzero(inside)[0], grid[inside]

    def leads_to(self, above: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Whether `above` is `below` or an ancestor of it; -1 is no node and leads nowhere. Shapes broadcast."""
        found: np.ndarray = (
            (above >= 0)
            & (self.low[above] <= self.low[below])
            & (self.high[above] >= self.high[below])
            & (self.depth[above] <= self.depth[below])
        )
        return found


def _ends(following: np.ndarray) -> np.ndarray:
    """Where one arrives by going on from each node until a node that is followed by itself."""
    while not np.array_equal(further := following[following], following):
        following = further
    return following
