"""Things that are due later: rows of aligned arrays, taken out when their day comes."""

from __future__ import annotations

import numpy as np

Rows = dict[str, np.ndarray]
"""Aligned one-dimensional arrays by column name."""


class Pool:
    """Rows waiting for their `time` (world seconds)."""

    def __init__(self, *columns: str) -> None:
        self._rows: Rows = {name: np.zeros(0, dtype=np.int64) for name in ("time", *columns)}

    def add(self, **columns: np.ndarray) -> None:
        """Append rows; every column of the pool must be given."""
        if columns.keys() != self._rows.keys():
            raise KeyError(f"pool has columns {sorted(self._rows)}, got {sorted(columns)}")
        self._rows = {name: np.concatenate([self._rows[name], columns[name]]) for name in self._rows}

    def take_until(self, end: int) -> Rows:
        """Remove and return the rows with time < end, in the order they were added."""
        due = self._rows["time"] < end
        found = take(self._rows, due)
        self._rows = take(self._rows, ~due)
        return found


def take(rows: Rows, which: np.ndarray | slice) -> Rows:
    """Rows by mask, index or slice."""
    return {name: column[which] for name, column in rows.items()}


def stack(*parts: Rows) -> Rows:
    """Parts with the same columns, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if len(parts) > 1 else parts[0]


def choose(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) one column per row of `weights` (n, m), drawn in proportion to them.

    Raises:
        ValueError: a row has no weight at all.
    """
    cumulated = np.cumsum(weights, axis=1)
    if (cumulated[:, -1] <= 0).any():
        raise ValueError("a row has no weight to choose by")
    drawn = rng.random(len(weights)) * cumulated[:, -1]
    found: np.ndarray = np.minimum((drawn[:, None] >= cumulated).sum(axis=1), weights.shape[1] - 1)
    return found
