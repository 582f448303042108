"""Reliability: observed rate beside mean prediction, in bins of equal numbers of rows."""

from __future__ import annotations

import numpy as np


def reliability(probability: np.ndarray, labels: np.ndarray, bins: int = 10) -> list[dict[str, float]]:
    """One bin a row, ascending: {"predicted", "observed", "rows"}.

    Args:
        probability: shape (n,).
        labels: shape (n,), 0 or 1.
        bins: at most this many.
    """
    order = np.argsort(probability, kind="stable")
    return [
        {"predicted": float(probability[part].mean()), "observed": float(labels[part].mean()), "rows": len(part)}
        for part in np.array_split(order, bins)
        if len(part)
    ]
