"""cooccurrence: users who convert with these advertisers also convert with those (EASE).

EASE is the linear item-to-item model of Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW
2019), in closed form. To its score a small bonus for the user's own repeated conversions is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from ml.predictors.from_history import FromHistory, FromHistorySettings


class CooccurrenceSettings(FromHistorySettings):
    """What EASE is fitted with, and what chooses its regularisation."""

    regularisations: tuple[float, ...] = Field(default=(10.0, 100.0, 500.0), min_length=1)
    """Values of lambda to choose from on held-out users; a single one is taken as given. Larger for more users."""


class Cooccurrence(FromHistory):
    """EASE on the user x advertiser matrix; `model` has shape (n_advertisers, n_advertisers), see `ease`."""

    name = "cooccurrence"
    settings: CooccurrenceSettings

    def __init__(self, settings: CooccurrenceSettings | None = None) -> None:
        self.settings = settings or CooccurrenceSettings()

    def options(self) -> Sequence[float]:
        return sorted(self.settings.regularisations, reverse=True)

    def learn(self, bought: Any, option: Any) -> np.ndarray:
        return ease(gram_of(bought), option)

    def score(self, model: np.ndarray, weights: Any) -> np.ndarray:
        return np.asarray(weights @ model)


def ease(gram: np.ndarray, regularisation: float) -> np.ndarray:
    """Item weights of EASE: argmin_B |X - X B|^2 + lambda |B|^2 with a zero diagonal (Steck 2019, eq. 8).

    Args:
        gram: X'X, shape (n, n).
        regularisation: lambda > 0.

    Returns:
        Shape (n, n): row j, column a: what a past conversion with j says for a.
    """
    inverse = np.linalg.inv(gram + regularisation * np.eye(len(gram)))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights)


def gram_of(bought: Any) -> np.ndarray:
    """X'X of a CSR matrix, dense: how many users converted with both advertisers."""
    return np.asarray((bought.T @ bought).toarray())
