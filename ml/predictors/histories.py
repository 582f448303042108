"""Histories: who converted with which catalogue advertiser, in stream order, ready for array arithmetic.

The cheap sources (popularity, repeat_last, cooccurrence) read streams only through this file. It drops
conversions with advertisers outside the catalogue, and knows nothing of searches, visits or profiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.contexts.stream import UserContexts

SPANS_AT_ONCE = 20_000
"""Histories expanded together: bounds memory, changes no result."""


@dataclass(frozen=True)
class Histories:
    """Conversions of catalogue advertisers, users back to back, each user's in stream order.

    Attributes:
        column: shape (n,): the advertiser, as its row in the catalogue.
        day: shape (n,): when it became known, in days (fractional) since 1970.
        key: shape (n,): `user * stride + position`, ascending: finds what lies before a position.
        offsets: shape (n_users + 1,): conversions of user i are rows offsets[i]:offsets[i + 1].
        stride: larger than any position.
        n_advertisers: columns of the catalogue.
    """

    column: np.ndarray
    day: np.ndarray
    key: np.ndarray
    offsets: np.ndarray
    stride: int
    n_advertisers: int

    def before(self, user: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Spans (shape (n, 2): first row, end row) of each user's conversions before a stream position."""
        end = np.searchsorted(self.key, user * self.stride + position)
        return np.column_stack([self.offsets[user], end])

    def whole(self) -> np.ndarray:
        """Spans of every user's whole history, shape (n_users, 2)."""
        return np.column_stack([self.offsets[:-1], self.offsets[1:]])

    def weights(self, spans: np.ndarray, half_life_days: float | None = None) -> Any:
        """Weight of each advertiser in each span, as a scipy CSR matrix (n_spans, n_advertisers).

        A conversion weighs 1, or `0.5 ** (age / half_life_days)` where its age is counted back from the
        newest conversion of the span: only ratios within a span mean anything then.
        """
        from scipy import sparse

        blocks = [
            self._block(spans[i : i + SPANS_AT_ONCE], half_life_days) for i in range(0, len(spans), SPANS_AT_ONCE)
        ]
        return sparse.vstack(blocks, format="csr") if blocks else sparse.csr_matrix((0, self.n_advertisers))

    def _block(self, spans: np.ndarray, half_life_days: float | None) -> Any:
        from scipy import sparse

        length = spans[:, 1] - spans[:, 0]
        owner = np.repeat(np.arange(len(spans)), length)
        first = np.cumsum(length) - length
        row = np.arange(len(owner)) + np.repeat(spans[:, 0] - first, length)
        value = np.ones(len(row))
        if half_life_days is not None:
            value = np.exp2((self.day[row] - self.day[spans[owner, 1] - 1]) / half_life_days)
        return sparse.csr_matrix((value, (owner, self.column[row])), shape=(len(spans), self.n_advertisers))


def read_histories(contexts: UserContexts, catalogue_ids: np.ndarray) -> Histories:
    """The conversions of `contexts` with advertisers of the catalogue; others are ignored."""
    found = contexts.conversions()
    column = columns_of(found["advertiser_id"], catalogue_ids)
    known = column >= 0
    user, position = found["user"].to_numpy()[known], found["position"].to_numpy()[known]
    stride = int(np.diff(contexts.offsets).max(initial=0)) + 1
    return Histories(
        column=column[known],
        day=days_since_1970(found["time"])[known],
        key=user * stride + position,
        offsets=np.searchsorted(user, np.arange(len(contexts) + 1)),
        stride=stride,
        n_advertisers=len(catalogue_ids),
    )


def columns_of(advertiser_ids: pd.Series, catalogue_ids: np.ndarray) -> np.ndarray:
    """Row of each advertiser in the catalogue, -1 where it is not in it."""
    return np.asarray(pd.Index(catalogue_ids).get_indexer(pd.Index(advertiser_ids)))


def days_since_1970(times: pd.Series) -> np.ndarray:
    """Times as fractional days, whatever the resolution they are stored in."""
    return np.asarray(times.to_numpy().astype("datetime64[us]").astype(np.int64) / 86_400e6)
