"""Streams as arrays of numbers, and the windows in which they are read: what goes into the sequence network.

A token is the profile or one event. A read (user, position) sees the profile and the newest events before that
position. Which ones is a function of the position alone, so training and prediction see alike, and many reads of a
user share a window: windows start at multiples of half of `max_events`, and a read lies in the first that reaches it.

Vocabularies are those of the training streams; what is not in them is "unknown", which is not the same as "none".
It knows no torch and no targets.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.contexts.render import VERBS
from ml.contexts.stream import PROFILE_FIELDS, TrainingExamples, UserContexts
from ml.predictors.histories import columns_of, days_since_1970

NONE, UNKNOWN, KNOWN = 0, 1, 2
"""Numbers of a vocabulary: no value, a value outside it, its first value."""
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Vocabulary:
    """What the network has an embedding for."""

    advertiser_ids: np.ndarray
    """The catalogue, in column order."""
    categories: np.ndarray
    profiles: tuple[np.ndarray, ...]
    """Values of each of PROFILE_FIELDS."""
    word_buckets: int
    """Search words are hashed into this many."""

    @classmethod
    def of(cls, examples: TrainingExamples, word_buckets: int) -> Vocabulary:
        events, users = examples.contexts.events, examples.contexts.users
        return cls(
            advertiser_ids=examples.catalogue["advertiser_id"].to_numpy(),
            categories=_values(events["category"]),
            profiles=tuple(_values(users[field]) for field in PROFILE_FIELDS),
            word_buckets=word_buckets,
        )


@dataclass(frozen=True)
class Tokens:
    """Some streams in numbers.

    Attributes:
        profile: shape (n_users, len(PROFILE_FIELDS)).
        events: name -> shape (n_events,): kind, advertiser, category (NONE, UNKNOWN, KNOWN + row), text (row in
            `words`, 0 = none), all int64.
        gap: shape (n_events,), float32: log(1 + days since the user's previous event), 0 for the first.
        words: hashed words of each distinct text.
        offsets: shape (n_users + 1,): events of user i are rows offsets[i]:offsets[i + 1].
    """

    profile: np.ndarray
    events: dict[str, np.ndarray]
    gap: np.ndarray
    words: list[np.ndarray]
    offsets: np.ndarray


def tokenize(contexts: UserContexts, vocabulary: Vocabulary) -> Tokens:
    """The streams of `contexts` in the numbers of `vocabulary`."""
    events, offsets = contexts.events, np.asarray(contexts.offsets)
    text, texts = pd.factorize(events["text"])
    day = days_since_1970(events["time"])
    first = np.zeros(len(day), dtype=bool)
    first[offsets[:-1][offsets[:-1] < len(day)]] = True
    gap = np.where(first, 0.0, np.diff(day, prepend=0.0))
    profile = [_numbers(contexts.users[f], v) for f, v in zip(PROFILE_FIELDS, vocabulary.profiles, strict=True)]
    return Tokens(
        profile=np.stack(profile, axis=1),
        events={
            "kind": columns_of(events["kind"], np.array(list(VERBS), dtype=object)),
            "advertiser": _numbers(events["advertiser_id"], vocabulary.advertiser_ids),
            "category": _numbers(events["category"], vocabulary.categories),
            "text": text + 1,
        },
        gap=np.log1p(np.maximum(gap, 0.0)).astype(np.float32),
        words=[np.empty(0, dtype=np.int64), *(hashed_words(str(one), vocabulary.word_buckets) for one in texts)],
        offsets=offsets,
    )


def hashed_words(text: str, buckets: int) -> np.ndarray:
    """Bucket of each word of a text; the same in every process."""
    return np.array([zlib.crc32(word.encode()) % buckets for word in WORD.findall(text.lower())], dtype=np.int64)


@dataclass(frozen=True)
class Windows:
    """Stretches of streams, and the reads in them.

    Attributes:
        user: shape (n_windows,).
        first: shape (n_windows,): row of the window's first event.
        length: shape (n_windows,): events in it, up to the last one that any of its reads sees.
        reads: shape (n_reads,): numbers of the asked reads, window by window.
        starts: shape (n_windows + 1,): reads of window w are reads[starts[w]:starts[w + 1]].
        token: shape (n_reads,), in the order of `reads`: 0 = after the profile, t = after the t-th event of the window.
    """

    user: np.ndarray
    first: np.ndarray
    length: np.ndarray
    reads: np.ndarray
    starts: np.ndarray
    token: np.ndarray

    def reads_of(self, rows: np.ndarray) -> np.ndarray:
        """Places (in `reads` and `token`) of the reads in some of the windows, window by window."""
        length = self.starts[rows + 1] - self.starts[rows]
        shift = self.starts[rows] - (np.cumsum(length) - length)
        return np.asarray(np.repeat(shift, length) + np.arange(length.sum()))


def windows_of(user: np.ndarray, position: np.ndarray, offsets: np.ndarray, max_events: int) -> Windows:
    """Windows of at most `max_events` events that answer every (user, position), shape (n_reads,) each."""
    step = max(max_events // 2, 1)
    begin = np.maximum(-((max_events - position) // step), 0) * step  # ceil((position - max_events) / step)
    keys = np.stack([user, begin], axis=1)
    windows, window = np.unique(keys, axis=0, return_inverse=True)
    window = window.reshape(-1)
    token = position - begin
    length = np.zeros(len(windows), dtype=np.int64)
    np.maximum.at(length, window, token)
    order = np.argsort(window, kind="stable")
    return Windows(
        user=windows[:, 0],
        first=offsets[windows[:, 0]] + windows[:, 1],
        length=length,
        reads=order,
        starts=np.searchsorted(window[order], np.arange(len(windows) + 1)),
        token=token[order],
    )


def _values(column: pd.Series) -> np.ndarray:
    """Distinct values of a column, ascending."""
    return np.array(sorted(column.dropna().unique()), dtype=object)


def _numbers(column: pd.Series, vocabulary: np.ndarray) -> np.ndarray:
    """Number of each value: NONE, UNKNOWN, or KNOWN + its row."""
    found = columns_of(column, vocabulary)
    return np.where(column.isna().to_numpy(), NONE, np.where(found < 0, UNKNOWN, found + KNOWN))
