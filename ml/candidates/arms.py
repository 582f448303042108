"""Retrieval arms as data: the same budget with the conventional generator alone, or with a source's quota."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.candidates.ad_retrieval import AdRetrieval
from ml.candidates.blend import blend
from ml.candidates.settings import CandidateSettings
from ml.candidates.targeted import targeted

CONVENTIONAL = "conventional"
"""The arm without a quota."""


def candidate_set(
    retrieval: AdRetrieval, predictions: pd.DataFrame | None, user_ids: np.ndarray, settings: CandidateSettings
) -> pd.DataFrame:
    """Candidate sets of some users (columns: see `ml.candidates.blend`).

    Args:
        retrieval: the eligible ads and the vectors that order them.
        predictions: one source's advertiser predictions; None is the conventional arm.
        user_ids: whom to make sets for.
        settings: budget and quota.
    """
    conventional = retrieval.retrieve(user_ids, settings.budget)
    if predictions is None:
        return blend(conventional, conventional.head(0), budget=settings.budget, quota=0)
    mine = predictions[predictions["user_id"].isin(user_ids)]
    proposals = targeted(retrieval, mine, settings)
    return blend(conventional, proposals, budget=settings.budget, quota=settings.quota)


def retrieval_arms(
    retrieval: AdRetrieval, by_source: dict[str, pd.DataFrame], user_ids: np.ndarray, settings: CandidateSettings
) -> dict[str, pd.DataFrame]:
    """One candidate set per arm: conventional, and one for each source of predictions."""
    arms: dict[str, pd.DataFrame | None] = {CONVENTIONAL: None, **by_source}
    return {arm: candidate_set(retrieval, rows, user_ids, settings) for arm, rows in arms.items()}
