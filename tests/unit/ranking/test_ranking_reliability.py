"""Reliability bins hold every row once, ascend, and lie on the diagonal for calibrated predictions."""

from __future__ import annotations

import numpy as np

from ml.ranking.reliability import reliability


def test_calibrated_predictions_lie_on_the_diagonal():
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    bins = reliability(p, (rng.random(len(p)) < p).astype(int))
    assert sum(b["rows"] for b in bins) == len(p)
    assert [b["predicted"] for b in bins] == sorted(b["predicted"] for b in bins)
    assert max(abs(b["predicted"] - b["observed"]) for b in bins) < 0.015


def test_overconfident_predictions_do_not():
    p = np.r_[np.full(100, 0.1), np.full(100, 0.9)]
    bins = reliability(p, np.tile([0, 1], 100), bins=2)
    assert np.allclose([[b["predicted"], b["observed"]] for b in bins], [[0.1, 0.5], [0.9, 0.5]])


def test_fewer_rows_than_bins():
    assert len(reliability(np.array([0.2, 0.4]), np.array([0, 1]), bins=10)) == 2
