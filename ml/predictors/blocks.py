"""Predicts in blocks of users, so that the dense (user x advertiser) matrix never stands whole in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.contexts.stream import UserContexts
from ml.predictors.predictions import from_probabilities

USERS_AT_ONCE = 4096
"""Bounds memory, changes no result."""


class InBlocks:
    """Gives a source its `predict`, out of its `probabilities`."""

    name: str
    model_version: str

    @property
    def advertiser_ids(self) -> np.ndarray:
        """Columns of `probabilities`, shape (n_advertisers,)."""
        raise NotImplementedError

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """See `ml.predictors.base.AdvertiserPredictor`."""
        raise NotImplementedError

    def predict(self, contexts: UserContexts, k: int) -> pd.DataFrame:
        """The k likeliest advertisers of each user, as a table of `ml.predictors.predictions`."""
        return predict_in_blocks(self, contexts, k)


def predict_in_blocks(source: InBlocks, contexts: UserContexts, k: int) -> pd.DataFrame:
    """Top k of `source.probabilities`, USERS_AT_ONCE users at a time."""
    blocks = []
    for start in range(0, max(len(contexts), 1), USERS_AT_ONCE):
        some = contexts.take(np.arange(start, min(start + USERS_AT_ONCE, len(contexts))))
        blocks.append(
            from_probabilities(
                source.probabilities(some),
                user_ids=some.user_ids,
                advertiser_ids=source.advertiser_ids,
                day=contexts.as_of,
                source=source.name,
                model_version=source.model_version,
                k=k,
            )
        )
    return pd.concat(blocks, ignore_index=True)
