"""Ad retrieval: user and ad vectors of one snapshot day, and the ads nearest to each user.

It holds only ads that may be shown on the day. A user without a vector gets the recently popular ads,
and the answer says so (`generator` = "popular"). It does not know how the vectors were learned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from ml.artifacts import write_json
from ml.candidates.eligibility import Barred
from ml.candidates.search import top_ads
from ml.candidates.table import POPULAR, TWO_TOWER
from ml.errors import BadInput

COLUMNS = ["user_id", "ad_id", "advertiser_id", "rank", "score", "generator"]


@dataclass(frozen=True)
class AdRetrieval:
    """Vectors of one day.

    Attributes:
        as_of: the snapshot day.
        user_ids: shape (n_users,), ascending: the users that have a vector.
        user_factors: shape (n_users, width), float32.
        ads: one row an eligible ad, most popular first (ties by ad_id): ad_id, advertiser_id, category, vertical,
            popularity (clicks or conversions of the last days). RangeIndex.
        ad_factors: shape (n_ads, width), float32.
        barred: by user, the ads that he must not get. It is not saved.
    """

    as_of: date
    user_ids: np.ndarray
    user_factors: np.ndarray
    ads: pd.DataFrame
    ad_factors: np.ndarray
    barred: Mapping[str, Barred] = field(default_factory=dict)

    def user_rows(self, user_ids: np.ndarray) -> np.ndarray:
        """Row of each user's vector, -1 for users without one. Shape (len(user_ids),)."""
        rows: np.ndarray = pd.Index(self.user_ids).get_indexer(pd.Index(user_ids))
        return rows

    def user_vectors(self, user_ids: np.ndarray) -> np.ndarray:
        """Vector of each user, zero for users without one. Shape (len(user_ids), width)."""
        nobody = np.zeros((1, self.ad_factors.shape[1]), dtype=np.float32)
        vectors: np.ndarray = np.concatenate([self.user_factors, nobody])[self.user_rows(user_ids)]
        return vectors

    def barred_ads(self, user_ids: np.ndarray) -> list[np.ndarray | None]:
        """Rows of the ads that each user must not get, or None."""
        return [self.barred[user].columns if user in self.barred else None for user in user_ids]

    def unbarred(self) -> AdRetrieval:
        """The same without regard to exclusions of single users."""
        return replace(self, barred={})

    def retrieve(self, user_ids: np.ndarray, n: int) -> pd.DataFrame:
        """The n best ads of each user (fewer if fewer may be shown), in the order of `user_ids`.

        Returns:
            user_id, ad_id, advertiser_id, rank (1 = best), score, generator. The score is a dot product for
            "two_tower" and the ad's popularity for "popular"; equal scores go to the more popular ad.
        """
        user_ids = np.asarray(user_ids, dtype=object)
        n, rows = min(n, len(self.ads)), self.user_rows(user_ids)
        best, scores = np.empty((len(rows), n), dtype=np.int64), np.empty((len(rows), n))
        popularity = self.ads["popularity"].to_numpy(np.float32)[:, None]
        for known, ads in ((True, self.ad_factors), (False, popularity)):
            mine = np.flatnonzero((rows >= 0) == known)
            vectors = self.user_factors[rows[mine]] if known else np.ones((len(mine), 1), dtype=np.float32)
            barred = self.barred_ads(user_ids[mine]) if self.barred else None
            best[mine], scores[mine] = top_ads(vectors, ads, n, barred)
        flat = best.ravel()
        found = pd.DataFrame(
            {
                "user_id": np.repeat(user_ids, n),
                "ad_id": self.ads["ad_id"].to_numpy(dtype=object)[flat],
                "advertiser_id": self.ads["advertiser_id"].to_numpy(dtype=object)[flat],
                "rank": np.tile(np.arange(1, n + 1), len(rows)),
                "score": scores.ravel(),
                "generator": np.repeat(np.where(rows >= 0, TWO_TOWER, POPULAR).astype(object), n),
            },
            columns=COLUMNS,
        )
        return found[flat >= 0].reset_index(drop=True) if (flat < 0).any() else found

    def scores(self, user_ids: np.ndarray, ad_ids: np.ndarray) -> np.ndarray:
        """Dot product of each pair, nan for unknown users and ads that may not be shown; float64, (n_pairs,)."""
        users, ads = self.user_rows(user_ids), pd.Index(self.ads["ad_id"]).get_indexer(pd.Index(ad_ids))
        found = np.full(len(users), np.nan)
        known = np.flatnonzero((users >= 0) & (ads >= 0))
        for part in np.array_split(known, max(1, len(known) // 65_536)):
            found[part] = np.einsum("ij,ij->i", self.user_factors[users[part]], self.ad_factors[ads[part]])
        return found

    def save(self, directory: Path) -> None:
        """Write vectors (npz), ads and users (Parquet) and the day (JSON) into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        np.savez(directory / "factors.npz", user=self.user_factors, ad=self.ad_factors)
        pd.DataFrame({"user_id": self.user_ids.astype(str)}).to_parquet(directory / "users.parquet", index=False)
        self.ads.to_parquet(directory / "ads.parquet", index=False)
        write_json(directory / "retrieval.json", {"as_of": self.as_of.isoformat(), "format": 2})

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
