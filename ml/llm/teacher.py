"""What co-occurrence says at every target, as soft targets of the LLM's training (Hinton et al. 2015).

A sample of a few thousand users shows the head each advertiser a few dozen times, whereas everybody's purchases are at
hand in closed form (EASE). Held-out users take no part in the fit. A training user's own purchases do, the target's
among them, as one of many who converted with both advertisers. An advertiser that is nobody's target is no soft target
either.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from ml.contexts.stream import TrainingExamples
from ml.predictors.cooccurrence import Cooccurrence
from ml.predictors.histories import Histories, read_histories


class Teacher:
    """EASE, asked for the history before any target."""

    def __init__(self, source: Cooccurrence, histories: Histories, spans: np.ndarray, known: np.ndarray) -> None:
        self.source, self.histories, self.spans, self.known = source, histories, spans, known

    @classmethod
    def fit(cls, examples: TrainingExamples, held_out: np.ndarray) -> Self:
        """Fit on all users but `held_out` (rows of `examples.contexts`)."""
        others = np.setdiff1d(np.arange(len(examples.contexts)), held_out)
        source = Cooccurrence().fit(examples.take(others))
        histories = read_histories(examples.contexts, source.advertiser_ids)
        targets = examples.targets
        spans = histories.before(targets["user"].to_numpy(), targets["position"].to_numpy())
        return cls(source, histories, spans, np.isin(source.advertiser_ids, targets["advertiser_id"]))

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """Its distribution before some targets (rows of `examples.targets`), float32, (n, n_advertisers)."""
        said = self.source.probabilities_of(self.histories, self.spans[rows]) * self.known
        return np.asarray(said / said.sum(axis=1, keepdims=True), dtype=np.float32)
