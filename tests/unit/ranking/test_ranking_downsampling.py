"""Negative downsampling: the corrected probability is that of all rows, by construction."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.ranking.downsampling import corrected, kept_rows, log_odds_shift
from ml.ranking.ranker import train_ranker
from ml.ranking.settings import RankerSettings
from ml.ranking.targets import LABELS


@given(q=st.floats(1e-4, 1 - 1e-4), share=st.floats(0.01, 1))
def test_the_correction_undoes_what_leaving_negatives_out_does(q, share):
    """Of q positives and 1 - q negatives, q and (1 - q) * share stay: the model learns p = q / (q + (1 - q) share)."""
    p = q / (q + (1 - q) * share)
    assert corrected(np.array([p]), share)[0] == pytest.approx(q, rel=1e-9)
    log_odds = np.log(p / (1 - p)) + log_odds_shift(share)
    assert log_odds == pytest.approx(np.log(q / (1 - q)), abs=1e-9)


def test_every_positive_stays_and_the_share_of_negatives_and_more_negatives_are_a_superset():
    labels = (np.arange(40_000) % 10 == 0).astype(np.float32)
    few, many = (kept_rows(labels, share, np.random.default_rng(3)) for share in (0.1, 0.4))
    assert few[labels > 0].all() and many[labels > 0].all()
    assert few[labels == 0].mean() == pytest.approx(0.1, abs=0.01)
    assert not (few & ~many).any()


@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_ranker_trained_on_a_tenth_of_the_negatives_forecasts_the_true_rates(share):
    """Two kinds of rows with known rates. The calibration slice is too small to mend anything (identity)."""
    rng = np.random.default_rng(0)
    n = 40_000
    kind = rng.integers(0, 2, n)
    rate = np.where(kind == 1, 0.10, 0.02)
    days = date(2024, 1, 1)
    rows = pd.DataFrame({"user_id": [f"u{i % 500}" for i in range(n)], "label": (rng.random(n) < rate).astype(int)})
    rows = rows.assign(
        split=np.where(np.arange(n) < n - 50, "train", "calibration"),
        day=[days + timedelta(days=int(k)) for k in np.sort(rng.integers(0, 10, n))],
        prior_day=days, surface="home", **dict.fromkeys(LABELS, 0),
    )  # fmt: skip
    settings = RankerSettings(threads=1, rounds=80, negative_share=share)
    features = pd.DataFrame({"kind": kind.astype(np.float32)})
    ranker = train_ranker(features, rows, settings, seed=1)
    assert ranker.calibrator.kind == "identity" and ranker.negative_share == share
    found = ranker.predict(pd.DataFrame({"kind": np.float32([0, 1])}))
    truth = rows[rows["split"] == "train"].groupby(kind[: n - 50])["label"].mean()
    assert found == pytest.approx(truth.to_numpy(), rel=0.06)


def test_sampled_negatives_are_not_thinned_again():
    """Rows without a surface are a purchase log's: their negatives are a sample already."""
    rng = np.random.default_rng(0)
    day = date(2024, 1, 1)
    rows = pd.DataFrame({"label": rng.integers(0, 2, 400), "split": "train", "day": day, "prior_day": day})
    rows = rows.assign(user_id="u", surface=None, **dict.fromkeys(LABELS, 0))
    features = pd.DataFrame({"x": rng.random(400).astype(np.float32)})
    ranker = train_ranker(features, rows, RankerSettings(threads=1, rounds=5, negative_share=0.1), seed=1)
    assert ranker.negative_share == 1.0 and ranker.calibrated_on["rows"] == 0
