"""Beam search over the trie, for many users at once, without Python per user or hypothesis.

    score(name) = sum of log P(token | prompt, tokens before), terminator included

No division by length. A hypothesis is a node; a step replaces every open one by its children, keeps the `beam` best of
a user, finished or not (finished ones lose nothing any more, open ones can only lose), and reads the kept ones on to
where they branch again, forced tokens in the same pass. With a beam as wide as the catalogue this scores every name.
The greatest score ever dropped bounds all names that were not found: where the k-th found is above it, the top k is
proven. It knows neither users nor advertisers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml.llm.by_name.reader import NextToken, NodeReader
from ml.llm.by_name.trie import NameTrie

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Found:
    """Names found for each user, best first.

    Attributes:
        name: rows of names, shape (n_users, n), n = the smaller of beam and catalogue.
        score: their log-probabilities, float64, same shape.
        bound: shape (n_users,), no name that is absent scores more; -inf where none is absent.
    """

    name: np.ndarray
    score: np.ndarray
    bound: np.ndarray


def search(reader: NodeReader, following: NextToken, prompts: list[np.ndarray], beam: int) -> Found:
    """The best names after each prompt.

    Args:
        reader: reads prompts and nodes.
        following: says what follows.
        prompts: token ids, cue included.
        beam: hypotheses a user.
    """
    trie, n_users = reader.trie, len(prompts)
    hidden = reader.begin(prompts)
    user, node, score = np.arange(n_users), np.zeros(n_users, dtype=np.int64), np.zeros(n_users)
    bound = np.full(n_users, -np.inf)
    while (is_open := trie.name[node] < 0).any():
        place, child = trie.children(node[is_open])
        gained = following.log_probabilities(hidden, place, trie.token[child])
        done = len(node) - int(is_open.sum())
        user = np.concatenate([user[~is_open], user[is_open][place]])
        node = np.concatenate([node[~is_open], child])
        score = np.concatenate([score[~is_open], score[is_open][place] + gained])
        kept, dropped = _best(user, node, score, beam)
        np.maximum.at(bound, user[dropped], score[dropped])
        kept = np.sort(kept)
        user, node, score = user[kept], node[kept], score[kept]
        done = int((kept < done).sum())
        tail, hidden = _go_on(reader, following, user[done:], node[done:])
        node, score = trie.end[node], score + np.concatenate([np.zeros(done), tail])
    order = np.lexsort((node, -score, user))
    shape = (n_users, len(order) // n_users)
    return Found(trie.name[node[order]].reshape(shape), score[order].reshape(shape), bound)


def _best(user: np.ndarray, node: np.ndarray, score: np.ndarray, beam: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each user's `beam` best hypotheses, and of the best one dropped where one is."""
    order = np.lexsort((node, -score, user))
    by_user = user[order]
    rank = np.arange(len(order)) - np.searchsorted(by_user, by_user)
    return order[rank < beam], order[rank == beam]


def _go_on(
    reader: NodeReader, following: NextToken, user: np.ndarray, node: np.ndarray
) -> tuple[np.ndarray, torch.Tensor]:
    """Read each node and what is forced after it.

    Returns:
        Log-probability of the forced tokens, shape (n,), and the states where hypotheses branch again, in their order.
    """
    import torch

    trie = reader.trie
    place, run = trie.runs(node)
    read = trie.name[run] < 0  # nothing follows a leaf
    if following.reading == "catalogue":
        read &= trie.name[trie.end[run]] < 0  # all that is forced has probability 1
    tail = np.zeros(len(node))
    states = _read(reader, user[place[read]], run[read])
    branching = np.flatnonzero(trie.end[run[read]] == run[read])
    if following.reading == "vocabulary":
        forced = np.flatnonzero(trie.end[run[read]] != run[read])
        token = trie.token[trie.first[run[read][forced]]]
        gained = following.log_probabilities(states[torch.from_numpy(forced)], np.arange(len(forced)), token)
        np.add.at(tail, place[read][forced], gained)
    return tail, states[torch.from_numpy(branching)]


def _read(reader: NodeReader, user: np.ndarray, node: np.ndarray) -> torch.Tensor:
    """States of some nodes, each of a user, in their order, shape (n, width)."""
    import torch

    n_users = len(reader.lengths)
    if not len(node):
        return torch.empty(0, int(reader.model.config.hidden_size), device=reader.device)
    order = np.argsort(user, kind="stable")
    column = np.empty(len(node), dtype=np.int64)
    column[order] = np.arange(len(node)) - np.searchsorted(user[order], user[order])
    table = np.full((n_users, int(column.max()) + 1), -1)
    table[user, column] = node
    return reader.extend(table)[torch.from_numpy(user), torch.from_numpy(column)]


def users_at_once(trie: NameTrie, longest_prompt: int, beam: int, batch_tokens: int) -> int:
    """Users whose prompts and nodes fit into `batch_tokens` together (one at least)."""
    nodes = min(len(trie), beam * int(trie.depth.max()))
    return max(1, batch_tokens // (longest_prompt + nodes))
