"""What is remembered of (user, advertiser) pairs: sparse, fading numbers.

    memory = PairMemory(advertisers=2000, left=0.7)
    memory.add(users, advertisers, 0.3)
    memory.of(users[:, None], advertisers)        # same shape as the pairs asked for, 0 where nothing is remembered
    memory.fade()                                 # once a day

It takes room for the pairs that happened, not for users x advertisers.
"""

from __future__ import annotations

import numpy as np

_FORGOTTEN = 1e-3
"""A pair with less than this is dropped."""


class PairMemory:
    """Numbers by pair, 0 unless added to.

    Args:
        advertisers: how many there are.
        left: share of each number that is left after `fade`.
    """

    def __init__(self, advertisers: int, left: float) -> None:
        self.advertisers, self.left = advertisers, left
        self._keys = np.zeros(0, dtype=np.int64)
        self._values = np.zeros(0)
        self._added: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, users: np.ndarray, advertisers: np.ndarray, amount: float | np.ndarray) -> None:
        """Add to pairs, which may repeat."""
        self._added.append((users * self.advertisers + advertisers, np.full(len(users), amount)))

    def of(self, users: np.ndarray, advertisers: np.ndarray) -> np.ndarray:
        """What is remembered of pairs, any shape by broadcasting."""
        self._settle()
        keys = users * self.advertisers + advertisers
        if not len(self._keys):
            return np.zeros(keys.shape)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        found: np.ndarray = np.where(self._keys[at] == keys, self._values[at], 0.0)
        return found

    def fade(self) -> None:
        """A day passes."""
        self._settle()
        self._values = self._values * self.left
        kept = self._values >= _FORGOTTEN
        self._keys, self._values = self._keys[kept], self._values[kept]

    def _settle(self) -> None:
        """Sort in what was added since the last time."""
        if not self._added:
            return
        keys, values = (np.concatenate(parts) for parts in zip((self._keys, self._values), *self._added, strict=True))
        self._added = []
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        self._keys, self._values = keys[first], np.add.reduceat(values[order], first) if len(first) else values
