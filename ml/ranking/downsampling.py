"""Fewer negatives in training, and the probability that would have been learned from all of them.

Of the rows without the target a share w is kept, drawn at random. A model of what is left says p where the truth is

    q = p / (p + (1 - p) / w),    which on log-odds is    logit(q) = logit(p) + log(w)

(He et al. 2014, "Practical lessons from predicting clicks on ads at Facebook", section 6.3). The calibrator is fitted
behind the correction, on a slice that nothing was left out of, and so has only the rest to mend.
"""

from __future__ import annotations

import numpy as np


def kept_rows(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which rows to train on: every positive, and each negative with probability `share`. bool, shape (n,).

    Args:
        labels: 0 or 1, shape (n,).
        share: w, in (0, 1].
        rng: one number a row is taken from it, whatever the labels: arms and targets agree on the draws.
    """
    kept: np.ndarray = (labels > 0) | (rng.random(len(labels)) < share)
    return kept


def corrected(probability: np.ndarray, share: float) -> np.ndarray:
    """q of the formula above, for p = `probability`."""
    found: np.ndarray = probability / (probability + (1 - probability) / share)
    return found


def log_odds_shift(share: float) -> float:
    """What the correction adds to log-odds: log(w), at most 0."""
    return float(np.log(share))
