"""From the scores of a source that knows no probabilities to probabilities.

    p(a | user)  ~  (max(score_a, 0) + floor * popularity_a * n_advertisers) ** sharpness

`sharpness` (an inverse temperature) and `floor` are those with the least log loss on held-out targets. The logarithm
matters: such scores behave like probabilities, and a softmax of the bare score spreads too much over the many
advertisers that score nothing (log loss worse than popularity's).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """How scores become probabilities, and the mean log loss on held-out targets (nan without any)."""

    sharpness: float
    floor: float
    log_loss: float
    targets: int


def to_probabilities(scores: np.ndarray, popular: np.ndarray, sharpness: float, floor: float) -> np.ndarray:
    """Softmax of `sharpness * log(max(score, 0) + floor * popularity * n)`, shape as `scores`."""
    logits = sharpness * np.log(np.maximum(scores, 0.0) + floor * len(popular) * popular)
    logits -= logits.max(axis=1, keepdims=True)
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def calibrate(scores: np.ndarray, column: np.ndarray, popular: np.ndarray) -> Calibration:
    """Sharpness and floor of the least mean log loss on targets (Nelder-Mead on their logarithms).

    Args:
        scores: shape (n_targets, n_advertisers).
        column: shape (n_targets,): the advertiser converted with.
        popular: shape (n_advertisers,).
    """
    from scipy.optimize import minimize

    if len(column) == 0:
        return Calibration(sharpness=1.0, floor=1e-3, log_loss=float("nan"), targets=0)
    rows = np.arange(len(column))

    def log_loss(logs: np.ndarray) -> float:
        probabilities = to_probabilities(scores, popular, *np.exp(np.clip(logs, -12, 3)))
        return float(-np.log(np.maximum(probabilities[rows, column], 1e-300)).mean())

    found = minimize(log_loss, [0.0, np.log(1e-3)], method="Nelder-Mead", options={"maxiter": 40, "xatol": 0.02})
    sharpness, floor = np.exp(np.clip(found.x, -12, 3))
    return Calibration(float(sharpness), float(floor), float(found.fun), len(column))
