"""Concentration: how few advertisers hold the candidate slots of a day.

Too large a quota crowds out small advertisers (the paper says so of its own system); a check warns of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Concentration:
    """Of the candidate slots of one day."""

    top10_share: float
    """Share of all slots held by the ten largest advertisers, 0..1."""
    gini: float
    """0: every eligible advertiser has as many slots as any other; towards 1: one has them all."""
    advertisers: int
    """Advertisers with at least one slot."""
    eligible: int
    """Advertisers that could have had one."""


def concentration(candidates: pd.DataFrame, *, eligible: int) -> Concentration:
    """Concentration of the advertisers over all rows of `candidates` (column advertiser_id).

    Gini = sum_i (2i - n - 1) x_i / (n sum_i x_i) over slots x_1 <= ... <= x_n; advertisers without a
    slot count as zeros.

    Args:
        eligible: number of advertisers with an eligible ad on the day, at least those in `candidates`.
    """
    held = np.sort(candidates["advertiser_id"].value_counts().to_numpy(np.float64))
    n, total = max(eligible, len(held)), held.sum()
    if total == 0:
        return Concentration(0.0, 0.0, 0, n)
    slots = np.concatenate([np.zeros(n - len(held)), held])
    gini = float((2 * np.arange(1, n + 1) - n - 1) @ slots / (n * total))
    return Concentration(float(held[-10:].sum() / total), gini, len(held), n)
