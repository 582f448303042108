"""TF-IDF of the rendered prompt at any position of a stream, without rendering a prompt for each.

Words and runs of words are counted within lines, so the counts of a prompt are the sums of its lines' counts: each
distinct line is analysed once, and the prompts of any positions are one sparse product.

    features = PromptTfidf().fit(contexts)
    features.read(contexts).at(user, position)

It knows no tokenizer: a prompt is cut to its newest lines by their number, not by tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd

from ml.contexts.render import event_lines, profile_lines
from ml.contexts.stream import UserContexts

WORD = re.compile(r"[^\W_]+(?:['.&][^\W_]+)*")
PROMPTS_AT_ONCE = 20_000
"""Prompts expanded together when terms are chosen: bounds memory, changes no result."""


def terms(text: str, longest: int = 2) -> list[str]:
    """Lower-case words of each line and runs of up to `longest` of them; a line's first word says what kind it is."""
    found: list[str] = []
    for line in text.splitlines():
        words = WORD.findall(line.lower())
        for n in range(1, longest + 1):
            found += [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    return found


@dataclass(frozen=True)
class Prompts:
    """The lines of some users' prompts, weighed once.

    Attributes:
        line: shape (n_users + n_events,): distinct line of each profile, then of each event.
        weights: CSR of shape (n_distinct_lines, n_terms): what a line adds to its prompt.
        offsets: events of user i are offsets[i]:offsets[i + 1].
        max_events, decay: as in `PromptTfidf`.
    """

    line: np.ndarray
    weights: Any
    offsets: np.ndarray
    max_events: int
    decay: float

    def at(self, user: np.ndarray, position: np.ndarray) -> Any:
        """TF-IDF of the prompt of `user` after his first `position` events, L2-normalised CSR (n, n_terms), float32."""
        from sklearn.preprocessing import normalize

        return normalize(self.lines_of(user, position) @ self.weights).astype(np.float32)

    def lines_of(self, user: np.ndarray, position: np.ndarray) -> Any:
        """Which distinct lines, with what weight, make up each prompt: CSR of shape (n, n_distinct_lines)."""
        from scipy import sparse

        n_users, length = len(self.offsets) - 1, np.minimum(position, self.max_events)
        owner = np.repeat(np.arange(len(user)), length)
        age = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length)
        event = np.repeat(self.offsets[user] + position - 1, length) - age
        rows, columns = np.append(np.arange(len(user)), owner), self.line[np.append(user, n_users + event)]
        values = np.append(np.ones(len(user)), self.decay**age)
        return sparse.csr_matrix((values, (rows, columns)), (len(user), self.weights.shape[0]))


class PromptTfidf:
    """TF-IDF of prompts: the profile line and the newest `max_events` event lines.

    Args:
        min_prompts: prompts a term must occur in to be kept.
        max_events: newest event lines that count.
        decay: weight of an event line relative to the next newer one, in (0, 1].
        longest: words of the longest term.
    """

    def __init__(self, *, min_prompts: int = 3, max_events: int = 100, decay: float = 1.0, longest: int = 2) -> None:
        self.min_prompts, self.max_events, self.decay, self.longest = min_prompts, max_events, decay, longest

    def fit(self, contexts: UserContexts) -> Self:
        """Learn vocabulary and inverse document frequencies from whole prompts (sklearn's smoothed formula)."""
        from scipy import sparse
        from sklearn.feature_extraction.text import CountVectorizer

        line, distinct = _lines(contexts)
        self._counter = CountVectorizer(analyzer=partial(terms, longest=self.longest))
        prompts = self._prompts(contexts, line, self._counter.fit_transform(distinct))
        documents = np.zeros(prompts.weights.shape[1], dtype=np.int64)
        for first in range(0, len(contexts), PROMPTS_AT_ONCE):
            some = np.arange(first, min(first + PROMPTS_AT_ONCE, len(contexts)))
            counts = prompts.lines_of(some, np.diff(contexts.offsets)[some]) @ prompts.weights
            documents += np.bincount(counts.indices, minlength=len(documents))
        self._kept = np.flatnonzero(documents >= self.min_prompts)
        self._idf = sparse.diags_array(np.log((1 + len(contexts)) / (1 + documents[self._kept])) + 1)
        return self

    @property
    def n_terms(self) -> int:
        return len(self._kept)

    def read(self, contexts: UserContexts) -> Prompts:
        """The lines of `contexts`, each distinct one analysed once."""
        line, distinct = _lines(contexts)
        return self._prompts(contexts, line, self._counter.transform(distinct)[:, self._kept] @ self._idf)

    def _prompts(self, contexts: UserContexts, line: np.ndarray, weights: Any) -> Prompts:
        return Prompts(line, weights.tocsr(), contexts.offsets, self.max_events, self.decay)


def _lines(contexts: UserContexts) -> tuple[np.ndarray, np.ndarray]:
    """Number of the distinct line of every profile, then of every event; and the distinct lines."""
    return pd.factorize(np.array([*profile_lines(contexts), *event_lines(contexts)], dtype=object))
