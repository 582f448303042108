"""One day's candidates: the sets, what was removed and why, and the figures that watch over both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.candidates.ad_retrieval import AdRetrieval
from ml.candidates.arms import candidate_set, removed_candidates
from ml.candidates.concentration import concentration
from ml.candidates.settings import CandidateSettings


@dataclass(frozen=True)
class DayOfCandidates:
    """What `candidate_sets` publishes."""

    candidates: pd.DataFrame
    """Columns of `ml.candidates.table`."""
    removed: pd.DataFrame
    """REMOVED of the same."""
    metrics: dict[str, Any]
    """users, quotas, shares of the generators, top10_share, gini, users_without_predictions, removed_ads and
    removed_pairs by reason."""


def candidates_of_day(
    retrieval: AdRetrieval,
    removed: pd.DataFrame,
    predictions: pd.DataFrame,
    interests: pd.DataFrame,
    users: np.ndarray,
    settings: CandidateSettings,
    *,
    quota: float,
    interest_quota: float = 0.0,
) -> DayOfCandidates:
    """Candidates of some users.

    Args:
        retrieval, removed: of the day, see `ml.candidates.index`.
        predictions, interests: of one source; users without rows get conventional candidates.
        users: ids.
        settings: budget, and ads of one advertiser or interest.
        quota, interest_quota: shares of the budget for predicted advertisers and interests.
    """

    def sets(index: AdRetrieval, whose: np.ndarray) -> pd.DataFrame:
        shares = {"quota": quota, "interest_quota": interest_quota}
        return candidate_set(index, predictions, whose, settings, interests=interests, **shares)

    made = sets(retrieval, users)
    gone = removed_candidates(retrieval, removed, users, sets)
    spread = concentration(made, eligible=retrieval.ads["advertiser_id"].nunique())
    everybody = gone["user_id"].isna()
    metrics = {
        "users": int(made["user_id"].nunique()),
        "quota": quota,
        "interest_quota": interest_quota,
        "targeted_share": _share(made["targeted_rank"].notna()),
        "interest_share": _share(made["interest_rank"].notna()),
        "users_without_predictions": len(set(users) - set(predictions["user_id"])),
        "users_without_vector": int((retrieval.user_rows(users) < 0).sum()),
        "top10_share": round(spread.top10_share, 4),
        "gini": round(spread.gini, 4),
        "removed_ads": _counts(gone[everybody]),
        "removed_candidates": _counts(gone[~everybody]),
    }
    return DayOfCandidates(made, gone, metrics)


def _share(mask: pd.Series) -> float:
    return round(float(mask.mean()), 4) if len(mask) else 0.0


def _counts(gone: pd.DataFrame) -> dict[str, int]:
    return {str(reason): int(count) for reason, count in gone["reason"].value_counts().sort_index().items()}
