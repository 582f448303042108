"""The protocol every source of advertiser predictions keeps (contract suite: tests/contracts/)."""

from __future__ import annotations

from typing import Protocol, Self

import pandas as pd

from ml.contexts.stream import TrainingExamples, UserContexts


class AdvertiserPredictor(Protocol):
    """Forecasts P(advertiser | the user converts in the label window)."""

    name: str

    def fit(self, examples: TrainingExamples) -> Self:
        """Learn from streams and targets; nothing after `examples.contexts.as_of` is in them."""
        ...

    def predict(self, contexts: UserContexts, k: int) -> pd.DataFrame:
        """The k likeliest advertisers of each user, as a table of `ml.predictors.predictions`."""
        ...
