"""TF-IDF of the rendered prompt at any position of a stream, without rendering a prompt for each.

Words and word pairs are counted within lines, so the counts of a prompt are the sums of its lines' counts: each
distinct line is analysed once, and the prompts of all positions are one sparse product.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Self

import numpy as np

from ml.contexts.render import event_lines, profile_lines
from ml.contexts.stream import UserContexts

WORD = re.compile(r"[^\W_]+(?:['.&][^\W_]+)*")


def terms(text: str) -> list[str]:
    """Lower-case words of each line, and pairs of neighbours in it; the line's first word says what kind it is."""
    found: list[str] = []
    for line in text.splitlines():
        words = WORD.findall(line.lower())
        found += [*words, *(f"{a} {b}" for a, b in pairwise(words))]
    return found


class PromptTfidf:
    """TF-IDF rows (L2-normalised) of prompts: the profile line and the newest `max_events` event lines.

    Args:
        min_prompts: prompts a term must occur in to be kept.
        max_events: newest event lines that count.
        decay: weight of an event line relative to the next newer one, in (0, 1].
    """

    def __init__(self, *, min_prompts: int = 3, max_events: int = 100, decay: float = 1.0) -> None:
        self.min_prompts, self.max_events, self.decay = min_prompts, max_events, decay

    def fit(self, contexts: UserContexts) -> Self:
        """Learn vocabulary and inverse document frequencies from whole prompts (sklearn's smoothed formula)."""
        from sklearn.feature_extraction.text import CountVectorizer

        ends = np.diff(contexts.offsets)
        lines, rows = self._lines(contexts), self._rows(contexts, np.arange(len(contexts)), ends)
        self._counter = CountVectorizer(analyzer=terms)
        counts = rows.astype(bool).astype(float) @ self._counter.fit_transform(lines)
        documents = np.bincount(counts.indices, minlength=counts.shape[1])
        self._kept = np.flatnonzero(documents >= self.min_prompts)
        self._idf = np.log((1 + len(contexts)) / (1 + documents[self._kept])) + 1
        return self

    @property
    def n_terms(self) -> int:
        return len(self._kept)

    def transform(self, contexts: UserContexts, user: np.ndarray, position: np.ndarray) -> Any:
        """TF-IDF of the prompt of `user` after his first `position` events, CSR of shape (n, n_terms), float32."""
        from sklearn.preprocessing import normalize

        counted = self._counter.transform(self._lines(contexts))[:, self._kept].astype(np.float64)
        sums = self._rows(contexts, user, position) @ counted
        sums.data *= self._idf[sums.indices]
        return normalize(sums).astype(np.float32)

    def _lines(self, contexts: UserContexts) -> list[str]:
        """All profile lines, then all event lines."""
        return [*profile_lines(contexts), *event_lines(contexts)]

    def _rows(self, contexts: UserContexts, user: np.ndarray, position: np.ndarray) -> Any:
        """Which lines, with what weight, make up each prompt: CSR of shape (n, n_lines)."""
        from scipy import sparse

        length = np.minimum(position, self.max_events)
        owner = np.repeat(np.arange(len(user)), length)
        age = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length)
        line = np.repeat(contexts.offsets[user] + position - 1, length) - age + len(contexts)
        profile = sparse.csr_matrix((np.ones(len(user)), (np.arange(len(user)), user)), (len(user), len(contexts)))
        shape = (len(user), len(contexts) + len(contexts.events))
        profile.resize(shape)
        return profile + sparse.csr_matrix((self.decay**age, (owner, line)), shape)
