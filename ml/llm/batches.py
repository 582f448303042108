"""From streams to padded batches of token ids, and back from stream positions to tokens.

A prompt is the profile line plus the newest whole event lines that fit. Position p of a stream is read
at the last token of line p - 1 (of the profile for p = 0). Attention is causal and padding stands on the
right, so neither padding nor neighbours can change what is read (beyond rounding: see `ml.llm.shapes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml.contexts.render import event_lines, first_kept, profile_lines
from ml.contexts.stream import UserContexts
from ml.llm.tokens import LineTokenizer

POOL = 16
"""Training batches that are sorted by length together: less padding, still nearly random."""


@dataclass(frozen=True)
class Lines:
    """Token ids of every line of some contexts (equal lines share one array)."""

    profiles: list[np.ndarray]
    events: list[np.ndarray]
    offsets: np.ndarray
    """Shape (n_users + 1,): events of user i are rows offsets[i]:offsets[i + 1]."""
    profile_lengths: np.ndarray
    event_lengths: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Prompts, and where to read in them.

    Attributes:
        prompts: ids of each prompt, int32.
        prompt: shape (n_reads,), row in `prompts`.
        token: shape (n_reads,), token in that prompt.
        request: shape (n_reads,), which of the asked positions it is; positions cut off are absent.
        owner: shape (n_prompts,), row of the user each prompt is of.
    """

    prompts: list[np.ndarray]
    prompt: np.ndarray
    token: np.ndarray
    request: np.ndarray
    owner: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        return _lengths(self.prompts)

    def reads_of(self, rows: np.ndarray) -> np.ndarray:
        """The reads in some of the prompts, shape (n,), prompt by prompt."""
        order, starts = self._by_prompt
        return np.concatenate([order[starts[row] : starts[row + 1]] for row in rows])

    @cached_property
    def _by_prompt(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.prompt, kind="stable")
        return order, np.searchsorted(self.prompt[order], np.arange(len(self.prompts) + 1))

    def take(self, rows: np.ndarray) -> Layout:
        """Some of the prompts and what is read in them; `request` keeps its meaning."""
        place = np.full(len(self.prompts), -1)
        place[rows] = np.arange(len(rows))
        mine = place[self.prompt] >= 0
        prompts = [self.prompts[row] for row in rows]
        return Layout(prompts, place[self.prompt[mine]], self.token[mine], self.request[mine], self.owner[rows])


def encode(contexts: UserContexts, tokenizer: LineTokenizer) -> Lines:
    """Render and tokenize the lines of all users."""
    return encode_lines(profile_lines(contexts), event_lines(contexts), contexts.offsets, tokenizer)


def encode_lines(profiles: list[str], events: list[str], offsets: np.ndarray, tokenizer: LineTokenizer) -> Lines:
    """Tokenize rendered lines: one profile line a user, events of user i in rows offsets[i]:offsets[i + 1]."""
    of_profiles, of_events = tokenizer.encode_lines(profiles), tokenizer.encode_lines(events)
    return Lines(of_profiles, of_events, np.asarray(offsets), _lengths(of_profiles), _lengths(of_events))


def lay_out(lines: Lines, user: np.ndarray, position: np.ndarray, budget: int, *, exact: bool) -> Layout:
    """Prompts that answer every (user, position), one a user where one is enough.

    A prompt ends at the last position asked for. Where it must drop events, a shorter prompt would have kept
    more: with `exact` each position of such a user gets a prompt of its own, as if predicted on its day;
    without, the user keeps one prompt and positions after 0 whose events fell away are left out (training).

    Args:
        lines: the users' lines.
        user: shape (n,), row of the user.
        position: shape (n,), events seen there.
        budget: most tokens of a prompt.
        exact: see above.
    """
    until = np.concatenate([[0], np.cumsum(lines.event_lengths)])
    last = np.zeros(len(lines.profiles), dtype=np.int64)
    np.maximum.at(last, user, position)
    starts = lines.offsets[:-1]
    alone = (until[starts + last] - until[starts] + lines.profile_lengths > budget)[user] & exact
    end = np.where(alone, position, last[user])
    wanted, prompt = np.unique(np.stack([user, end], axis=1), axis=0, return_inverse=True)
    prompt = prompt.reshape(-1)
    owner, first = wanted[:, 0], _first_events(lines, wanted, budget)
    stop = starts[owner] + wanted[:, 1]
    prompts = _joined(lines, owner, first, stop)
    at, begin = starts[user] + position, first[prompt]
    token = lines.profile_lengths[user] - 1 + np.where(position == 0, 0, until[at] - until[begin])
    readable = (position == 0) | (at > begin) | exact
    keep = np.flatnonzero(readable)
    return Layout(prompts, prompt[keep], token[keep], keep, owner)


def _joined(lines: Lines, owner: np.ndarray, first: np.ndarray, stop: np.ndarray) -> list[np.ndarray]:
    """Ids of each prompt: the profile of `owner` and event rows first:stop (all joined at once, then cut: views)."""
    pieces: list[np.ndarray] = []
    for user, a, b in zip(owner.tolist(), first.tolist(), stop.tolist(), strict=True):
        pieces.append(lines.profiles[user])
        pieces += lines.events[a:b]
    if not pieces:
        return []
    until = np.concatenate([[0], np.cumsum(lines.event_lengths)])
    ends = np.cumsum(lines.profile_lengths[owner] + until[stop] - until[first]).tolist()
    joined = np.concatenate(pieces)
    return [joined[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _first_events(lines: Lines, wanted: np.ndarray, budget: int) -> np.ndarray:
    """First kept event row of each (user, end) prompt, by the renderer's own truncation rule."""
    owner, counts = wanted[:, 0], wanted[:, 1]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    shift = lines.offsets[owner] - offsets[:-1]
    rows = np.repeat(shift, counts) + np.arange(offsets[-1])
    first: np.ndarray = shift + first_kept(lines.event_lengths[rows], offsets, lines.profile_lengths[owner], budget)
    return first


def scoring_batches(lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Rows of each batch, longest prompts first (so that memory peaks at once), hardly any padding.

    For measuring in training; predictions are read in the fixed shapes of `ml.llm.shapes`.
    """
    return _cut(np.argsort(-lengths, kind="stable"), lengths, batch_tokens)


def training_batches(lengths: np.ndarray, batch_tokens: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of each batch in random order, prompts of like length together."""
    order = rng.permutation(len(lengths))
    pool = max(1, int(POOL * batch_tokens / max(float(lengths.mean()), 1.0)))
    batches: list[np.ndarray] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        batches += _cut(rows[np.argsort(-lengths[rows], kind="stable")], lengths, batch_tokens)
    return [batches[i] for i in rng.permutation(len(batches))]


def padded(prompts: list[np.ndarray], shape: tuple[int, int] | None = None) -> np.ndarray:
    """Ids as a rectangle, int64, zeros on the right and below.

    Args:
        prompts: ids of each.
        shape: rows and tokens; None is as many as there are and as the longest has.
    """
    ids = np.zeros(shape or (len(prompts), max(len(p) for p in prompts)), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt
    return ids


def _cut(order: np.ndarray, lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Cut rows of falling length into rectangles of at most `batch_tokens` (one row at least)."""
    batches, start = [], 0
    while start < len(order):
        size = max(1, batch_tokens // int(lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches


def _lengths(lines: list[np.ndarray]) -> np.ndarray:
    return np.array([len(ids) for ids in lines], dtype=np.int64)
