"""Ad retrieval: user and ad vectors of one snapshot day, and the ads nearest to each user.

It holds only ads that may be shown on the day. A user without a vector gets the recently popular ads,
and the answer says so (`generator` = "popular"). It does not know how the vectors were learned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from ml.artifacts import write_json
from ml.errors import BadInput

FACTORISATION, POPULAR = "factorisation", "popular"
COLUMNS = ["user_id", "ad_id", "advertiser_id", "rank", "score", "generator"]
_USERS_AT_ONCE = 1024


@dataclass(frozen=True)
class AdRetrieval:
    """Vectors of one day.

    Attributes:
        as_of: the snapshot day.
        user_ids: shape (n_users,), ascending: the users that have a vector.
        user_factors: shape (n_users, factors), float32.
        ads: one row an eligible ad, most popular first (ties by ad_id): ad_id, advertiser_id, popularity
            (weighted interactions of the last days). RangeIndex.
        ad_factors: shape (n_ads, factors), float32; zero for an ad nobody interacted with yet.
    """

    as_of: date
    user_ids: np.ndarray
    user_factors: np.ndarray
    ads: pd.DataFrame
    ad_factors: np.ndarray

    def user_rows(self, user_ids: np.ndarray) -> np.ndarray:
        """Row of each user's vector, -1 for users without one. Shape (len(user_ids),)."""
        rows: np.ndarray = pd.Index(self.user_ids).get_indexer(pd.Index(user_ids))
        return rows

    def user_vectors(self, user_ids: np.ndarray) -> np.ndarray:
        """Vector of each user, zero for users without one. Shape (len(user_ids), factors)."""
        nobody = np.zeros((1, self.user_factors.shape[1]), dtype=np.float32)
        vectors: np.ndarray = np.concatenate([self.user_factors, nobody])[self.user_rows(user_ids)]
        return vectors

    def retrieve(self, user_ids: np.ndarray, n: int) -> pd.DataFrame:
        """The n best ads of each user (fewer if fewer are eligible), in the order of `user_ids`.

        Returns:
            user_id, ad_id, advertiser_id, rank (1 = best), score, generator. The score is a dot product for
            "factorisation" and the ad's popularity for "popular"; equal scores go to the more popular ad.
        """
        n = min(n, len(self.ads))
        rows = self.user_rows(user_ids)
        popularity = self.ads["popularity"].to_numpy(np.float64)
        best = np.tile(np.arange(n), (len(rows), 1))
        scores = np.tile(popularity[:n], (len(rows), 1))
        for mine in _chunks(np.flatnonzero(rows >= 0)):
            all_scores = self.user_factors[rows[mine]] @ self.ad_factors.T
            best[mine] = top_columns(all_scores, n)
            scores[mine] = np.take_along_axis(all_scores, best[mine], axis=1)
        flat = best.ravel()
        return pd.DataFrame(
            {
                "user_id": np.repeat(np.asarray(user_ids, dtype=object), n),
                "ad_id": self.ads["ad_id"].to_numpy(dtype=object)[flat],
                "advertiser_id": self.ads["advertiser_id"].to_numpy(dtype=object)[flat],
                "rank": np.tile(np.arange(1, n + 1), len(rows)),
                "score": scores.ravel(),
                "generator": np.repeat(np.where(rows >= 0, FACTORISATION, POPULAR).astype(object), n),
            },
            columns=COLUMNS,
        )

    def save(self, directory: Path) -> None:
        """Write vectors (npz), ads and users (Parquet) and the day (JSON) into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        np.savez(directory / "factors.npz", user=self.user_factors, ad=self.ad_factors)
        pd.DataFrame({"user_id": self.user_ids.astype(str)}).to_parquet(directory / "users.parquet", index=False)
        self.ads.to_parquet(directory / "ads.parquet", index=False)
        write_json(directory / "retrieval.json", {"as_of": self.as_of.isoformat(), "format": 1})

    @classmethod
    def load(cls, directory: Path) -> AdRetrieval:
        """What `save` wrote.

        Raises:
            BadInput: the directory holds no retrieval model.
        """
        if not (directory / "retrieval.json").exists():
            raise BadInput(
                "no retrieval model here", where=str(directory), remedy="materialise retrieval_model for this day"
            )
        as_of = date.fromisoformat(json.loads((directory / "retrieval.json").read_text())["as_of"])
        with np.load(directory / "factors.npz", allow_pickle=False) as factors:
            user_factors, ad_factors = factors["user"], factors["ad"]
        users = pd.read_parquet(directory / "users.parquet")["user_id"].to_numpy(dtype=object)
        return cls(as_of, users, user_factors, pd.read_parquet(directory / "ads.parquet"), ad_factors)


def top_columns(scores: np.ndarray, n: int) -> np.ndarray:
    """Columns of the n largest values of each row, largest first; ties go to the lower column.

    Args:
        scores: shape (rows, columns), columns >= n.

    Returns:
        shape (rows, n).
    """
    if n == 0:
        return np.zeros((len(scores), 0), dtype=np.int64)
    # A partition alone would break ties at the n-th value arbitrarily: fill the last places from the left.
    nth = -np.partition(-scores, n - 1, axis=1)[:, n - 1 : n]
    above, tied = scores > nth, scores == nth
    room = n - above.sum(axis=1, keepdims=True)
    keep = above | (tied & (np.cumsum(tied, axis=1) <= room))
    columns = np.nonzero(keep)[1].reshape(len(scores), n)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _USERS_AT_ONCE):
        yield rows[start : start + _USERS_AT_ONCE]
