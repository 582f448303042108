"""The protocol every source of advertiser predictions keeps (contract suite: tests/contracts/)."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
import pandas as pd

from ml.contexts.stream import TrainingExamples, UserContexts


class AdvertiserPredictor(Protocol):
    """Forecasts P(advertiser | the user converts in the label window)."""

    name: str
    model_version: str
    """Of what was fitted; two fits that learned something else have different ones."""

    @property
    def advertiser_ids(self) -> np.ndarray:
        """The catalogue it was fitted on, in column order, shape (n_advertisers,)."""
        ...

    def fit(self, examples: TrainingExamples) -> Self:
        """Learn from streams and targets; nothing after `examples.contexts.as_of` is in them."""
        ...

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """The whole distribution of each user, float64, shape (n_users, n_advertisers); rows sum to 1."""
        ...

    def predict(self, contexts: UserContexts, k: int) -> pd.DataFrame:
        """The k likeliest advertisers of each user, as a table of `ml.predictors.predictions`."""
        ...
