"""Calibration of forecasts: truth by construction."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings
from ml.evaluation.calibration import BINS, Forecasts, calibration, slope, squared_error
from ml.predictors.predictions import from_probabilities

QUICK = EvaluationSettings(ranking_resamples=100)


def honest(n: int, rng: np.random.Generator, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Distributions over 12 advertisers, and targets drawn from them after `sharpness` has been taken out."""
    truth = rng.dirichlet(np.full(12, 0.4), n)
    target = (rng.random((n, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    told = truth**sharpness
    return told / told.sum(axis=1, keepdims=True), np.minimum(target, 11)


def test_debiased_error_of_an_honest_forecaster_is_zero_on_average_and_the_plain_one_is_not() -> None:
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(200):
        probabilities, target = honest(300, rng)
        mine = Forecasts.of_matrix(probabilities, target)
        one = np.ones((1, 300))
        errors.append([squared_error(mine.top, mine.hit, one, debiased=d)[0] for d in (True, False)])
    debiased, plain = np.mean(errors, axis=0)
    noise = np.std([e[0] for e in errors]) / np.sqrt(len(errors))
    assert abs(debiased) < 3 * noise
    assert plain > 10 * noise


def test_a_known_gap_is_found() -> None:
    rng = np.random.default_rng(0)
    top = rng.uniform(0.3, 0.8, 20_000)
    hit = rng.random(20_000) < top - 0.1
    assert np.sqrt(squared_error(top, hit, np.ones((1, 20_000))))[0] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_the_slope_undoes_the_sharpening(sharpness: float) -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.02, 0.98, 40_000)
    logit = np.log(truth / (1 - truth))
    told, hit = 1 / (1 + np.exp(-sharpness * logit)), rng.random(40_000) < truth
    assert slope(told, hit, np.ones((1, 40_000)))[0, 0] == pytest.approx(1 / sharpness, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_slope_is_that_of_a_logistic_regression_with_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    top, weights = rng.uniform(0.05, 0.95, 200), rng.integers(0, 4, size=200)
    hit = rng.random(200) < 0.5 * top + 0.2
    expected = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    expected.fit(np.log(top / (1 - top))[:, None], hit, sample_weight=weights)
    found = slope(top, hit, weights[None].astype(float))
    np.testing.assert_allclose(found[0], [expected.coef_[0, 0], expected.intercept_[0]], atol=1e-3)


def test_nothing_but_misses_has_no_slope() -> None:
    assert np.isnan(slope(np.linspace(0.1, 0.5, 50), np.zeros(50, bool), np.ones((1, 50)))).all()


def test_a_table_says_what_the_matrix_says() -> None:
    rng = np.random.default_rng(2)
    probabilities, target = honest(60, rng)
    ids, users = np.array([f"a{i:02d}" for i in range(12)]), np.array([f"u{i:02d}" for i in range(60)])
    labels = pd.DataFrame({"user_id": users, "advertiser_id": ids[target]})
    labels.loc[0, "advertiser_id"] = "elsewhere"
    column = np.where(np.arange(60) == 0, -1, target)
    options = {"user_ids": users, "advertiser_ids": ids, "day": date(2026, 1, 1), "source": "s", "model_version": "v"}
    whole, part = (Forecasts.of_table(from_probabilities(probabilities, k=k, **options), labels, ids) for k in (12, 4))
    expected = Forecasts.of_matrix(probabilities, column)
    for name in ("top", "hit", "target", "first", "among"):
        np.testing.assert_allclose(getattr(whole, name), getattr(expected, name))
    assert np.isnan(part.target[0])
    known = np.isfinite(part.target)
    beyond = known & (part.target != whole.target)
    assert beyond.any()
    order = np.sort(probabilities, axis=1)[:, ::-1]
    np.testing.assert_allclose(part.target[beyond], order[beyond, 4:].mean(axis=1))


def test_an_honest_source_beats_its_overconfident_twin_on_the_same_users() -> None:
    rng = np.random.default_rng(3)
    probabilities, target = honest(3000, rng)
    sharp = probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)
    found = calibration(
        {"honest": Forecasts.of_matrix(probabilities, target), "sharp": Forecasts.of_matrix(sharp, target)},
        rng=rng,
        settings=QUICK,
        pairs=[("honest", "sharp")],
    )
    assert found.metrics["honest"]["top1_ece"].value < 0.03 < found.metrics["sharp"]["top1_ece"].low
    assert found.metrics["honest"]["top1_slope"].low < 1 < found.metrics["honest"]["top1_slope"].high
    assert found.metrics["sharp"]["top1_slope"].high < 0.8
    assert next(d for d in found.differences if d.metric == "target_log_loss").high < 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_where_forecasts_are_equal_the_debiased_error_is_that_of_kumar_liang_and_ma(seed: int, per_bin: int) -> None:
    rng = np.random.default_rng(seed)
    top = np.repeat(np.linspace(0.05, 0.9, BINS), per_bin)
    hit = rng.random(len(top)) < 0.4
    bins = hit.reshape(BINS, per_bin).mean(axis=1)
    gap = (bins - np.linspace(0.05, 0.9, BINS)) ** 2 - bins * (1 - bins) / (per_bin - 1)
    assert squared_error(top, hit, np.ones((1, len(top))))[0] == pytest.approx(gap.mean())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_user_drawn_twice_counts_as_two_such_users(seed: int) -> None:
    rng = np.random.default_rng(seed)
    top, hit = rng.uniform(size=90), rng.random(90) < 0.5
    weights = rng.permutation(np.repeat([0, 1, 2], 30))
    # Bins are those of the whole sample, so both lie in the same ones: weights of 1 in the middle of a doubled sample.
    doubled = np.repeat(np.arange(90), 2)
    twice = np.stack([weights > 0, weights > 1], axis=1).ravel()
    found = squared_error(top, hit, weights[None].astype(float))
    assert found[0] == pytest.approx(squared_error(top[doubled], hit[doubled], twice[None].astype(float))[0])


def test_the_first_ten_of_an_honest_forecaster_hold_what_they_claim() -> None:
    rng = np.random.default_rng(5)
    truth = rng.dirichlet(np.full(40, 0.4), 4000)
    target = np.minimum((rng.random((4000, 1)) > truth.cumsum(axis=1)).sum(axis=1), 39)
    flat = truth**0.5 / (truth**0.5).sum(axis=1, keepdims=True)
    honest_one, modest = (Forecasts.of_matrix(p, target) for p in (truth, flat))
    assert honest_one.first.mean() == pytest.approx(honest_one.among.mean(), abs=0.02)
    found = calibration({"honest": honest_one, "modest": modest}, rng=rng, settings=QUICK).metrics
    assert found["honest"]["top10_ece"].value < 0.03 < found["modest"]["top10_ece"].low
    assert found["honest"]["top1_intercept"].low < 0 < found["honest"]["top1_intercept"].high


def test_a_user_of_whom_nothing_was_said_is_refused() -> None:
    rng = np.random.default_rng(2)
    probabilities, target = honest(3, rng)
    ids, users = np.array([f"a{i:02d}" for i in range(12)]), np.array(["u0", "u1", "u2"])
    options = {"user_ids": users, "advertiser_ids": ids, "day": date(2026, 1, 1), "source": "s", "model_version": "v"}
    table = from_probabilities(probabilities, k=12, **options)
    labels = pd.DataFrame({"user_id": users, "advertiser_id": ids[target]})
    with pytest.raises(BadInput, match="1 labelled users without predictions"):
        Forecasts.of_table(table[table["user_id"] != "u1"], labels, ids)
