"""Evaluation: p-values of differences, corrected for the number of arms (Holm)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ml.evaluation.results import Difference, holm


def difference(z: float, metric: str = "recall@10", error: float = 1.0) -> Difference:
    value = z * error
    return Difference(metric, "llm", "x", value, value - 2 * error, value + 2 * error, error, 2.8 * error)


@given(st.floats(-8, 8), st.floats(1e-3, 1e3))
def test_a_p_value_is_the_normal_one(z: float, error: float) -> None:
    assert difference(z, error=error).p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-6)


def test_without_spread_it_is_certain_and_without_a_value_there_is_none() -> None:
    assert difference(0.0, error=0.0).p_value == 1
    assert Difference("m", "a", "b", 0.5, 0.5, 0.5, 0.0, 0.0).p_value == 0
    assert math.isnan(Difference("m", "a", "b", *[math.nan] * 5).p_value)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_it_is_holms_procedure(zs: list[float]) -> None:
    found = holm([difference(z) for z in zs])
    plain = np.array([difference(z).p_value for z in zs])
    order = np.argsort(plain, kind="stable")
    stepped = np.maximum.accumulate((len(zs) - np.arange(len(zs))) * plain[order])
    np.testing.assert_allclose(np.array(found)[order], np.minimum(stepped, 1), rtol=1e-9)


def test_metrics_are_families_of_their_own_and_gaps_do_not_count() -> None:
    one, other, gap = difference(2.5), difference(2.5, "auc"), Difference("auc", "a", "b", *[math.nan] * 5)
    assert holm([one, other, gap])[:2] == [one.p_value, other.p_value]
    assert math.isnan(holm([one, other, gap])[2])
    assert holm([one, one]) == [2 * one.p_value] * 2


def test_among_true_ties_few_families_have_a_win() -> None:
    rng = np.random.default_rng(0)
    wins = [min(holm([difference(z) for z in rng.normal(size=8)])) < 0.05 for _ in range(2000)]
    assert np.mean(wins) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
