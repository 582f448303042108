"""Fold: what a source may be fitted on at the end of one day, and the users it is judged on in the window after it.

Tuning and blending look at the fold of the predictor cutoff, the comparison at that of the snapshot day; a source is
fitted anew for each. It is made where labels may be read; whatever predicts gets `examples` and `contexts` only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.histories import columns_of


@dataclass(frozen=True)
class Fold:
    """One time split.

    Attributes:
        examples: streams and targets of all training users, all known by the end of `contexts.as_of`.
        contexts: streams of the judged users on that day, one row a label.
        labels: user_id, advertiser_id: the first conversion of each judged user after it; row i is of
            `contexts.users` row i.
        is_new: shape (n_labels,): the user had never converted with that advertiser.
    """

    examples: TrainingExamples
    contexts: UserContexts
    labels: pd.DataFrame
    is_new: np.ndarray

    @property
    def column(self) -> np.ndarray:
        """Catalogue row of each label, -1 where it is outside the catalogue, shape (n_labels,)."""
        return columns_of(self.labels["advertiser_id"], self.examples.catalogue["advertiser_id"].to_numpy())

    def take(self, rows: np.ndarray) -> Fold:
        """The same fit judged on some of the users (ascending row numbers)."""
        labels = self.labels.iloc[rows].reset_index(drop=True)
        return Fold(self.examples, self.contexts.take(rows), labels, self.is_new[rows])
