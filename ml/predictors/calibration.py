"""Calibrators of a full distribution: fitted on the validation fold, applied to any day.

    temperature    p ** (1 / T), renormalised; T of the least log loss (Guo et al. 2017). Ranks stay.
    isotonic_top   the likeliest advertiser's probability by isotonic regression (Zadrozny and Elkan 2002) on whether it
                   was right, the others scaled to the rest; the likeliest stays so.
    isotonic_all   every probability by one isotonic regression on whether its advertiser was the one (one against
                   all), renormalised. Ranks stay.

Forecasts are conditional on the catalogue: labels outside it teach nothing. Metrics are in `ml.evaluation`.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np

from ml.llm.validation import fit_temperature, log_softmax

Kind = Literal["none", "temperature", "isotonic_top", "isotonic_all"]
KEPT = 1e-3
"""Share of the original probability kept in an isotonic one: steps then keep the order within them, and no zeros."""
SMALLEST = 1e-12


class Calibrator(Protocol):
    """Maps a distribution to a better calibrated one."""

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Float64, shape as `probabilities`, (n_users, n_advertisers); rows sum to 1."""
        ...


class Unchanged:
    """No calibration."""

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        return np.asarray(probabilities, dtype=np.float64)


class Temperature:
    """One number for all."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(log_softmax(np.log(np.maximum(probabilities, SMALLEST)) / self.temperature)))


class IsotonicTop:
    """A monotone map of the largest probability of a row."""

    def __init__(self, regression: Any) -> None:
        self.regression = regression

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        result = np.asarray(probabilities, dtype=np.float64).copy()
        rows, top = np.arange(len(result)), result.argmax(axis=1)
        old = result[rows, top]
        mapped = (1 - KEPT) * self.regression.predict(old) + KEPT * old
        result[rows, top] = -1.0
        second = result.max(axis=1)
        # q and the second's new (1 - q) * second / (1 - old) are equal at this q: below it the first would fall behind
        new = np.maximum(mapped, second / np.maximum(1 - old + second, SMALLEST) + SMALLEST)
        result *= ((1 - new) / np.maximum(1 - old, SMALLEST))[:, None]
        result[rows, top] = new
        return np.asarray(result / result.sum(axis=1, keepdims=True))


class IsotonicAll:
    """A monotone map of every probability."""

    def __init__(self, regression: Any) -> None:
        self.regression = regression

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        given = np.asarray(probabilities, dtype=np.float64)
        mapped = self.regression.predict(given.ravel()).reshape(given.shape)
        result = (1 - KEPT) * mapped + KEPT * given
        return np.asarray(result / result.sum(axis=1, keepdims=True))


def fit_calibrator(kind: Kind, probabilities: np.ndarray, column: np.ndarray) -> Calibrator:
    """A calibrator from forecasts and what came.

    Args:
        kind: see the module.
        probabilities: shape (n_labels, n_advertisers), rows sum to 1.
        column: shape (n_labels,): catalogue row of each label, -1 outside it. Without any label in it nothing is
            changed.
    """
    inside = np.flatnonzero(column >= 0)
    if kind == "none" or not len(inside):
        return Unchanged()
    known, column = np.asarray(probabilities, dtype=np.float64)[inside], column[inside]
    if kind == "temperature":
        return Temperature(fit_temperature(np.log(np.maximum(known, SMALLEST)), column))
    if kind == "isotonic_top":
        return IsotonicTop(_isotonic(known.max(axis=1), known.argmax(axis=1) == column))
    hits = np.zeros(known.shape, dtype=bool)
    hits[np.arange(len(column)), column] = True
    return IsotonicAll(_isotonic(known.ravel(), hits.ravel()))


def _isotonic(probability: np.ndarray, hit: np.ndarray) -> Any:
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(probability, hit.astype(np.float64))
