"""Calibration of the ranker: raw log-odds to a probability, fitted on the calibration slice.

The kind follows from the number of positives in the slice, and is written down with the result:
fewer than 20, `identity` (nothing can be fitted); below 1,000, `platt` (two parameters); else `isotonic`.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

PLATT_FROM = 20
ISOTONIC_FROM = 1_000
EDGE = 1e-6
"""Probabilities stay in [EDGE, 1 - EDGE]: one sure mistake must not make the log loss infinite."""


class Calibrator(BaseModel):
    """A monotone map from log-odds to probability; JSON-able."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    """identity, platt or isotonic."""
    slope: float = 1.0
    """platt: p = sigmoid(slope * log-odds + intercept)."""
    intercept: float = 0.0
    knots: list[float] = []
    """isotonic: log-odds at which the fitted step function is known; linear in between."""
    values: list[float] = []
    """isotonic: probability at each knot, rising."""

    def __call__(self, log_odds: np.ndarray) -> np.ndarray:
        """Probabilities, shape as given."""
        if self.kind == "isotonic":
            probability = np.interp(log_odds, self.knots, self.values)
        else:
            probability = _sigmoid(self.slope * log_odds + self.intercept)
        clipped: np.ndarray = np.clip(probability, EDGE, 1 - EDGE)
        return clipped


def fit_calibrator(log_odds: np.ndarray, labels: np.ndarray) -> Calibrator:
    """The calibrator that the number of positives (or negatives, if fewer) allows.

    Args:
        log_odds: raw scores of the calibration slice, shape (n,).
        labels: 0 or 1, shape (n,).
    """
    rarer = int(min(labels.sum(), len(labels) - labels.sum()))
    if rarer < PLATT_FROM:
        return Calibrator(kind="identity")
    if rarer < ISOTONIC_FROM:
        slope, intercept = _platt(np.asarray(log_odds, np.float64), np.asarray(labels, np.float64))
        return Calibrator(kind="platt", slope=slope, intercept=intercept)
    from sklearn.isotonic import IsotonicRegression

    steps = IsotonicRegression(out_of_bounds="clip").fit(np.asarray(log_odds, np.float64), labels)
    knots, values = steps.X_thresholds_, steps.y_thresholds_
    return Calibrator(kind="isotonic", knots=[float(x) for x in knots], values=[float(y) for y in values])


def _platt(x: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Platt (1999) with his smoothed targets, by Newton's method with halved steps (Lin, Lin, Weng 2007)."""
    positives = labels.sum()
    high, low = (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
    target = np.where(labels > 0, high, low)
    design = np.stack([x, np.ones_like(x)], axis=1)

    def loss(weights: np.ndarray) -> float:
        z = design @ weights
        return float(np.sum(np.logaddexp(0, z) - target * z))

    weights = np.array([1.0, 0.0])
    for _ in range(100):
        p = _sigmoid(design @ weights)
        gradient = design.T @ (p - target)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size, before = 1.0, loss(weights)
        while loss(weights - size * step) > before and size > 1e-8:
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    if weights[0] <= 0:  # a falling map would reverse the ranking: such a slice teaches only the base rate
        return 1e-3, float(np.log(target.mean() / (1 - target.mean())))
    return float(weights[0]), float(weights[1])


def _sigmoid(z: np.ndarray) -> np.ndarray:
    probability: np.ndarray = 1 / (1 + np.exp(-np.clip(z, -500, 500)))
    return probability
