"""ials: implicit-feedback matrix factorisation (Hu, Koren & Volinsky 2008), by the library `implicit`.

Tuned well it is a hard baseline to beat (Rendle et al., "Revisiting the Performance of iALS", RecSys 2022). A user's
factors are solved anew from his own past whenever he is scored, so users unseen in training are served alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from ml.predictors.from_history import FromHistory, FromHistorySettings


class IalsSettings(FromHistorySettings):
    """Of the factorisation."""

    factors: int = Field(default=64, ge=1)
    """Length of a user's and an advertiser's vector."""
    regularisation: float = Field(default=10.0, gt=0)
    """L2 on all vectors; larger for more users."""
    confidence: float = Field(default=5.0, gt=0)
    """Weight of a conversion; that of an advertiser never converted with is 1."""
    own_share: float = Field(default=0.7, ge=0, le=1)
    """What the score of an advertiser in the user's own past is multiplied by: the factorisation gives back what it was
    given, so that one's own past would always come first."""
    iterations: int = Field(default=15, ge=1)
    """Alternations."""
    seed: int = 0
    """Of the vectors before the first alternation."""


class Ials(FromHistory):
    """`model` is implicit's AlternatingLeastSquares, on one thread: same data, same bytes."""

    name = "ials"
    settings: IalsSettings

    def __init__(self, settings: IalsSettings | None = None) -> None:
        self.settings = settings or IalsSettings()

    def learn(self, bought: Any, option: Any) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        s = self.settings
        model = AlternatingLeastSquares(
            factors=s.factors,
            regularization=s.regularisation,
            alpha=s.confidence,
            iterations=s.iterations,
            num_threads=1,
            random_state=s.seed,
        )
        with threadpool_limits(1, "blas"):
            model.fit(bought.astype(np.float32), show_progress=False)
        return model

    def score(self, model: Any, weights: Any) -> np.ndarray:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, "blas"):
            users = model.recalculate_user(np.arange(weights.shape[0]), weights.astype(np.float32))
        scores = (users @ model.item_factors.T).astype(np.float64)
        rows, columns = weights.nonzero()
        scores[rows, columns] *= self.settings.own_share
        return np.asarray(scores)
