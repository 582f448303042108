"""Predicts in blocks of users, so that the dense (user x advertiser) matrix never stands whole in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ml.contexts.stream import UserContexts
from ml.predictors.predictions import from_probabilities

USERS_AT_ONCE = 4096
"""Bounds memory, changes no result."""


def predict_in_blocks(
    probabilities: Callable[[np.ndarray], np.ndarray],
    spans: np.ndarray,
    contexts: UserContexts,
    *,
    advertiser_ids: np.ndarray,
    source: str,
    model_version: str,
    k: int,
) -> pd.DataFrame:
    """A table of `ml.predictors.predictions`.

    Args:
        probabilities: spans of some users, shape (n, 2) -> shape (n, n_advertisers).
        spans: shape (n_users, 2), what of each user's history counts (see `ml.predictors.histories`).
        contexts: the users, in the order of `spans`.
        advertiser_ids: shape (n_advertisers,).
        source: name of the predictor.
        model_version: of what was fitted.
        k: rows a user.
    """
    blocks = [
        from_probabilities(
            probabilities(spans[i : i + USERS_AT_ONCE]),
            user_ids=contexts.user_ids[i : i + USERS_AT_ONCE],
            advertiser_ids=advertiser_ids,
            day=contexts.as_of,
            source=source,
            model_version=model_version,
            k=k,
        )
        for i in range(0, max(len(spans), 1), USERS_AT_ONCE)
    ]
    return pd.concat(blocks, ignore_index=True)
