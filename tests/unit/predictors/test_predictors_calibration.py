"""Calibrators: distributions stay distributions, order stays order, and forecasts that were wrong become right."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.predictors.calibration import Kind, Temperature, fit_calibrator

KINDS = get_args(Kind)


def forecasts(n: int, seed: int, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts that are the truth to a power (above 1: too sure), and what came."""
    rng = np.random.default_rng(seed)
    truth = np.exp(rng.normal(scale=1.5, size=(n, 8)))
    truth /= truth.sum(axis=1, keepdims=True)
    column = (rng.random((n, 1)) > truth.cumsum(axis=1)[:, :-1]).sum(axis=1)
    given_ = truth**power
    return given_ / given_.sum(axis=1, keepdims=True), column


def gap(probabilities: np.ndarray, column: np.ndarray) -> float:
    """What the likeliest is said to have, less how often it is right."""
    return float(probabilities.max(axis=1).mean() - (probabilities.argmax(axis=1) == column).mean())


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("power", [0.4, 2.5])
def test_wrong_forecasts_become_right_ones_on_other_users(kind: Kind, power: float) -> None:
    calibrator = fit_calibrator(kind, *forecasts(4000, 0, power))
    probabilities, column = forecasts(4000, 1, power)
    assert abs(gap(probabilities, column)) > 0.1
    after = calibrator.apply(probabilities)
    assert abs(gap(after, column)) < (0.02 if kind == "temperature" else 0.05), "isotonic ones give way to the order"
    rows = np.arange(len(column))
    assert np.log(after[rows, column]).mean() > np.log(probabilities[rows, column]).mean()


def test_the_temperature_that_spoilt_them_is_found() -> None:
    calibrator = fit_calibrator("temperature", *forecasts(6000, 0, 2.0))
    assert isinstance(calibrator, Temperature)
    assert calibrator.temperature == pytest.approx(2.0, rel=0.05)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), power=st.floats(0.2, 4), kind=st.sampled_from(KINDS), zeros=st.booleans())
def test_rows_sum_to_1_and_the_order_stays(seed: int, power: float, kind: Kind, zeros: bool) -> None:
    calibrator = fit_calibrator(kind, *forecasts(60, seed, power))
    probabilities, _ = forecasts(20, seed + 1, power)
    if zeros:
        probabilities = np.where(probabilities < 0.1, 0, probabilities)
        probabilities[0] = np.eye(8)[3]
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    before = probabilities.copy()
    after = calibrator.apply(probabilities)
    np.testing.assert_array_equal(probabilities, before)
    np.testing.assert_allclose(after.sum(axis=1), 1)
    assert (after >= 0).all()
    np.testing.assert_array_equal(after.argmax(axis=1), probabilities.argmax(axis=1))
    order = np.argsort(probabilities, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(after, order, axis=1), axis=1) >= -1e-12).all(), "monotone within a row"


def test_labels_outside_the_catalogue_teach_nothing() -> None:
    probabilities, column = forecasts(300, 0, 2.0)
    outside = np.where(np.arange(300) % 3 == 0, -1, column)
    inside = outside >= 0
    for kind in KINDS:
        one = fit_calibrator(kind, probabilities, outside).apply(probabilities)
        two = fit_calibrator(kind, probabilities[inside], column[inside]).apply(probabilities)
        np.testing.assert_array_equal(one, two)
        nothing = fit_calibrator(kind, probabilities, np.full(300, -1))
        np.testing.assert_array_equal(nothing.apply(probabilities), probabilities)
