"""How far two distributions over the same bins are apart, and how far chance alone would put them.

PSI = sum_b (p_b - q_b) ln(p_b / q_b), the population stability index (N. Siddiqi, Credit Risk Scorecards, 2006;
the symmetric divergence of Jeffreys, 1946); rules of thumb: below 0.1 stable, above 0.25 shifted.

JS = H((p + q) / 2) - (H(p) + H(q)) / 2 with H in bits, the Jensen-Shannon divergence (J. Lin, Divergence measures
based on the Shannon entropy, IEEE Trans. Inf. Theory 37, 1991): 0 for equal, 1 for disjoint distributions.

Small samples look drifted: with B bins and counts n and m from one distribution, PSI / (1/n + 1/m) is about
chi-squared with B - 1 degrees of freedom (B. Yurdakul, Statistical Properties of the Population Stability Index,
2018), so its mean is (B - 1)(1/n + 1/m): 0.15 for 20 bins, n = 170 and m = 680. `compare` takes that mean off and
says how likely the rest is by chance. Events come in clusters (a user's visits are alike) and weeks differ, which
spreads PSI by a factor, the dispersion; `dispersion` measures it among windows that count as quiet.

Try it: `compare(np.array([30, 70]), np.array([500, 500]), dispersion=1.0)`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PSEUDO = 0.5
"""Count added to every bin, so that an empty one does not make PSI infinite."""


@dataclass(frozen=True)
class Comparison:
    """Two samples over the same bins.

    Attributes:
        psi: as defined above, from smoothed shares.
        debiased: psi less its mean under no drift; about 0 then, and possibly negative.
        js: Jensen-Shannon divergence in bits.
        p_value: chance of a psi at least this large without drift.
    """

    psi: float
    debiased: float
    js: float
    p_value: float


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts as shares, all above 0 (each bin gets PSEUDO more) and adding up to 1."""
    smoothed = np.asarray(counts, dtype=np.float64) + PSEUDO
    found: np.ndarray = smoothed / smoothed.sum()
    return found


def psi(p: np.ndarray, q: np.ndarray) -> float:
    """Population stability index of two distributions without empty bins."""
    return float(np.sum((p - q) * np.log(p / q)))


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence in bits, within [0, 1]."""
    middle = (p + q) / 2
    found = (_entropy(middle) - (_entropy(p) + _entropy(q)) / 2) / np.log(2)
    return float(min(max(found, 0.0), 1.0))


def chance_scale(n: float, m: float) -> float:
    """PSI of samples of n and m from one distribution is about this times chi-squared with B - 1 degrees."""
    return 1 / n + 1 / m


def compare(now: np.ndarray, reference: np.ndarray, dispersion: float) -> Comparison:
    """Compare counts over the same bins; both samples must have at least one.

    Args:
        now: counts of the sample in question.
        reference: counts of the reference.
        dispersion: how much more than by plain chance samples without drift differ, 1 or above.
    """
    from scipy.stats import chi2

    p, q, free = shares(now), shares(reference), len(now) - 1
    scale = dispersion * chance_scale(now.sum(), reference.sum())
    found = psi(p, q)
    bias = float(free * scale)
    p_value = float(chi2.sf(found / scale, free)) if free else 1.0
    return Comparison(found, found - bias, jensen_shannon(p, q), p_value)


def dispersion(windows: np.ndarray) -> float:
    """How much more quiet windows differ from each other than by plain chance; 1 if that cannot be told.

    Args:
        windows: (windows, bins) counts.
    """
    filled = windows[windows.sum(axis=1) > 0]
    free, total = windows.shape[1] - 1, filled.sum(axis=0)
    if len(filled) < 2 or free == 0:
        return 1.0
    ratios = [
        psi(shares(mine), shares(total - mine)) / (free * chance_scale(mine.sum(), (total - mine).sum()))
        for mine in filled
    ]
    return float(max(1.0, np.mean(ratios)))


def _entropy(p: np.ndarray) -> float:
    positive = p[p > 0]
    return float(-np.sum(positive * np.log(positive)))
