"""Candidate sets as data: the same budget with the conventional generator alone, or with quotas for a source's
predictions; and what of them exclusions have removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.candidates.ad_retrieval import COLUMNS, AdRetrieval
from ml.candidates.blend import blend
from ml.candidates.settings import CandidateSettings
from ml.candidates.table import REMOVED
from ml.candidates.targeted import interesting, targeted

CONVENTIONAL = "conventional"
"""The arm without a quota."""


@dataclass(frozen=True)
class Proposals:
    """What each generator proposes to some users: made once, blended under any quotas.

    Args:
        retrieval: the eligible ads and the vectors that order them.
        conventional, targeted, interesting: see `ml.candidates.blend`.
    """

    retrieval: AdRetrieval
    conventional: pd.DataFrame
    targeted: pd.DataFrame
    interesting: pd.DataFrame

    @classmethod
    def of(
        cls,
        retrieval: AdRetrieval,
        predictions: pd.DataFrame | None,
        user_ids: np.ndarray,
        settings: CandidateSettings,
        interests: pd.DataFrame | None = None,
    ) -> Proposals:
        """Proposals for some users.

        Args:
            retrieval: see above.
            predictions: one source's advertiser predictions; None: no source. Users without rows get none.
            user_ids: whom to make sets for.
            settings: budget, and ads of one advertiser or interest.
            interests: the interests the source predicts, see `ml.llm.interests`; None: none.
        """
        nothing = pd.DataFrame(columns=COLUMNS)
        asked = [None if t is None else t[t["user_id"].isin(user_ids)] for t in (predictions, interests)]
        return cls(
            retrieval,
            retrieval.retrieve(user_ids, settings.budget),
            nothing if asked[0] is None else targeted(retrieval, asked[0], settings),
            nothing if asked[1] is None else interesting(retrieval, asked[1], settings),
        )

    def blended(self, budget: int, quota: float, interest_quota: float) -> pd.DataFrame:
        """Candidate sets under these quotas; columns of `ml.candidates.table`."""
        found = blend(
            *(self.conventional, self.targeted, self.interesting),
            budget=budget,
            quota=quota,
            interest_quota=interest_quota,
        )
        score = self.retrieval.scores(found["user_id"].to_numpy(), found["ad_id"].to_numpy())
        return found.assign(tower_score=score)


def candidate_set(
    retrieval: AdRetrieval,
    predictions: pd.DataFrame | None,
    user_ids: np.ndarray,
    settings: CandidateSettings,
    *,
    quota: float,
    interests: pd.DataFrame | None = None,
    interest_quota: float = 0.0,
) -> pd.DataFrame:
    """Candidate sets of some users (columns: see `ml.candidates.table`).

    Args:
        retrieval, predictions, user_ids, settings, interests: see `Proposals.of`.
        quota, interest_quota: shares of the budget for predicted advertisers and interests.
    """
    proposals = Proposals.of(retrieval, predictions, user_ids, settings, interests)
    return proposals.blended(settings.budget, quota, interest_quota)


def retrieval_arms(
    retrieval: AdRetrieval,
    by_source: dict[str, pd.DataFrame],
    user_ids: np.ndarray,
    settings: CandidateSettings,
    *,
    quota: float,
    interests: Mapping[str, pd.DataFrame] | None = None,
    interest_quota: float = 0.0,
) -> dict[str, pd.DataFrame]:
    """One candidate set per arm: conventional, and one for each source of predictions under the same quotas.

    Args:
        retrieval, user_ids, settings, quota, interest_quota: see `candidate_set`.
        by_source: advertiser predictions by source.
        interests: those of the sources that predict some; the slots of the others stay conventional.
    """
    mine = interests or {}
    made = {CONVENTIONAL: candidate_set(retrieval, None, user_ids, settings, quota=0.0)}
    for arm, rows in by_source.items():
        made[arm] = candidate_set(
            *(retrieval, rows, user_ids, settings),
            quota=quota,
            interests=mine.get(arm),
            interest_quota=interest_quota,
        )
    return made


def removed_candidates(
    retrieval: AdRetrieval, removed: pd.DataFrame, user_ids: np.ndarray, without_rules: Callable[..., pd.DataFrame]
) -> pd.DataFrame:
    """The table of removed candidates: `removed` for everybody, and what single users would have got.

    Args:
        retrieval: of the day.
        removed: ad_id, advertiser_id, reason, see `ml.candidates.index`.
        user_ids: whose sets were made.
        without_rules: makes the sets of some users (first argument: retrieval, second: ids) as theirs were made.

    Returns:
        `ml.candidates.table.REMOVED`.
    """
    everybody = removed.assign(user_id=None, generators=None)[list(REMOVED)]
    affected = np.array([user for user in user_ids if user in retrieval.barred], dtype=object)
    if not len(affected):
        return everybody
    free = without_rules(retrieval.unbarred(), affected)
    ads = retrieval.ads["ad_id"].to_numpy()
    reasons = {
        (user, ad): reason
        for user in affected
        for ad, reason in zip(ads[retrieval.barred[user].columns], retrieval.barred[user].reasons, strict=True)
    }
    pairs = zip(free["user_id"], free["ad_id"], strict=True)
    mine = free.assign(reason=pd.Series([reasons.get(pair) for pair in pairs], dtype=object))
    single = mine[mine["reason"].notna()][list(REMOVED)]
    return pd.concat([everybody, single], ignore_index=True) if len(everybody) else single.reset_index(drop=True)
