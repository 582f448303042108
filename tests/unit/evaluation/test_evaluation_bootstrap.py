"""bootstrap: coverage, pairing, agreement with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.evaluation import bootstrap
from ml.evaluation.bootstrap import DETECTABLE, Resamples, difference_of, evaluate, interval_of, ratio_of_sums


def test_the_interval_of_a_ratio_covers_the_truth_95_times_in_100() -> None:
    """Users with different numbers of rows that share a user effect: naive row intervals would be far too short."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        rows = rng.integers(1, 6, size=120)
        sums = rows * (0.3 + rng.normal(0, 0.2, size=120))
        interval = Resamples(120, 200, rng).interval(ratio_of_sums(sums, rows))
        covered += interval.low <= 0.3 <= interval.high
    assert 0.91 <= covered / 300 <= 0.98


def test_a_true_difference_of_the_minimum_effect_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(200):
        base = rng.normal(size=150)
        gain = rng.normal(DETECTABLE * 0.5 / np.sqrt(150), 0.5, size=150)
        statistics = (ratio_of_sums(base + gain, np.ones(150)), ratio_of_sums(base, np.ones(150)))
        found += Resamples(150, 120, rng).difference("m", ("a", "b"), statistics).is_clear
    assert 0.7 <= found / 200 <= 0.9


def test_agrees_with_scipy_on_a_mean() -> None:
    from scipy import stats

    values = np.random.default_rng(2).exponential(size=300)
    mine = Resamples(300, 4000, np.random.default_rng(0)).interval(ratio_of_sums(values, np.ones(300)))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0))
    assert mine.value == pytest.approx(values.mean())
    assert mine.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert mine.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)


def test_equal_arms_differ_by_exactly_nothing() -> None:
    values = np.random.default_rng(3).normal(size=80)
    resamples = Resamples(80, 300, np.random.default_rng(0))
    same = resamples.difference("m", ("a", "b"), (ratio_of_sums(values, np.ones(80)),) * 2)
    assert (same.value, same.low, same.high, same.minimum_effect) == (0, 0, 0, 0)


def test_a_constant_gain_has_no_uncertainty_however_noisy_the_arms() -> None:
    values = np.random.default_rng(4).normal(0, 100, size=80)
    statistics = (ratio_of_sums(values + 0.5, np.ones(80)), ratio_of_sums(values, np.ones(80)))
    found = Resamples(80, 300, np.random.default_rng(0)).difference("m", ("a", "b"), statistics)
    assert found.low == pytest.approx(0.5)
    assert found.high == pytest.approx(0.5)


@given(st.integers(1, 50), st.integers(1, 40), st.integers(1, 500))
@settings(max_examples=20, deadline=None)
def test_block_size_changes_nothing(n_users: int, n_resamples: int, cells: int) -> None:
    values = np.random.default_rng(n_users).normal(size=n_users)
    whole, again = (Resamples(n_users, n_resamples, np.random.default_rng(9)) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "CELLS_AT_ONCE", cells)
        blocks = again.replicate(ratio_of_sums(values, np.ones(n_users)))
    np.testing.assert_allclose(blocks.draws, whole.replicate(ratio_of_sums(values, np.ones(n_users))).draws, atol=1e-12)
    weights = whole.weights(0, n_resamples)
    assert (weights.sum(axis=1) == n_users).all()


def test_what_does_not_exist_is_nan_and_not_zero() -> None:
    resamples = Resamples(10, 100, np.random.default_rng(0))
    interval = resamples.interval(ratio_of_sums(np.zeros(10), np.zeros(10)))
    assert interval.as_json() == {"value": None, "low": None, "high": None}
    assert difference_of("m", ("a", "b"), np.nan, np.full(5, np.nan)).as_json(np.nan)["minimum_effect"] is None


def test_draws_without_the_statistic_are_left_out() -> None:
    interval = interval_of(0.5, np.array([0.4, np.nan, 0.6]))
    assert 0.4 < interval.low < interval.high < 0.6


def test_evaluate_names_every_arm_metric_and_pair() -> None:
    hits = np.random.default_rng(5).random((60, 2, 3))
    found = evaluate(
        Resamples(60, 100, np.random.default_rng(0)),
        ratio_of_sums(hits, np.ones((60, 1, 1))),
        arms=["a", "b"],
        metrics=["x", "y", "z"],
        pairs=[("a", "b")],
    )
    assert found.metrics["b"]["z"].value == pytest.approx(hits[:, 1, 2].mean())
    assert [(d.metric, d.arm, d.against) for d in found.differences] == [(m, "a", "b") for m in "xyz"]
    assert found.differences[1].value == pytest.approx(hits[:, 0, 1].mean() - hits[:, 1, 1].mean())


def test_recentred_draws_keep_their_spread_and_hold_the_value() -> None:
    noise = np.random.default_rng(6).normal(size=(200, 1))

    def size_of_noise(weights: np.ndarray) -> np.ndarray:
        return np.abs(weights @ noise / 200)[:, :, None]

    resamples = Resamples(200, 400, np.random.default_rng(0))
    names = {"arms": ["a"], "metrics": ["size"], "pairs": []}
    plain = evaluate(resamples, size_of_noise, **names).metrics["a"]["size"]
    recentred = evaluate(resamples, size_of_noise, **names, recentred=["size"]).metrics["a"]["size"]
    assert recentred.low <= recentred.value <= recentred.high
    assert recentred.value == plain.value
    assert recentred.low >= 0


def test_nobody_to_evaluate_is_an_error() -> None:
    with pytest.raises(BadInput, match="no user"):
        Resamples(0, 100, np.random.default_rng(0))
