"""Prior shift: Bayes' rule where it is known, strength found from labels, nothing changed where nothing has changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.predictors.cooccurrence import Cooccurrence
from ml.predictors.prior_shift import HALF_LIVES, PriorShift, Shifted, fit_prior_shift, log_shifts
from tests.contracts.predictor_contract import build_examples

A = 6


def shifts_of(ratio: np.ndarray) -> dict[float, np.ndarray]:
    """Only one half-life tells the truth; the others say noise."""
    rng = np.random.default_rng(0)
    return {h: np.log(ratio) if h == 14.0 else rng.normal(0, 1.5, len(ratio)) for h in HALF_LIVES}


@given(st.integers(0, 1000))
def test_full_strength_is_bayes_rule_under_another_prior(seed: int) -> None:
    rng = np.random.default_rng(seed)
    old, new = rng.dirichlet(np.ones(A)), rng.dirichlet(np.ones(A))
    evidence = rng.dirichlet(np.ones(4), A)  # P(x | a)
    before, after = (prior * evidence.T for prior in (old, new))
    before, after = (joint / joint.sum(axis=1, keepdims=True) for joint in (before, after))
    found = PriorShift(14.0, strength=1.0, sharpness=1.0).apply(before, shifts_of(new / old))
    np.testing.assert_allclose(found, after, rtol=1e-9)


def forecasts(n: int, strength: float) -> tuple[np.ndarray, np.ndarray, dict[float, np.ndarray]]:
    """Forecasts under the old prior, and labels drawn after a shift of some strength."""
    rng = np.random.default_rng(3)
    p, shifts = rng.dirichlet(np.ones(A), n), shifts_of(rng.dirichlet(np.ones(A)) * A)
    truth = PriorShift(14.0, strength, 1.0).apply(p, shifts)
    column = (truth.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    column[:: n // 10] = -1  # outside the catalogue: teach nothing
    return p, column, shifts


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_strength_and_half_life_are_found_from_labels(strength: float) -> None:
    found = fit_prior_shift(*forecasts(20_000, strength))
    assert found.half_life_days == 14.0
    assert found.strength == pytest.approx(strength, abs=0.08)
    assert found.sharpness == pytest.approx(1.0, abs=0.08)


def test_without_a_shift_or_labels_nothing_changes() -> None:
    p, column, shifts = forecasts(20_000, 0.0)
    found = fit_prior_shift(p, column, shifts)
    assert found.strength == pytest.approx(0, abs=0.05)
    assert np.abs(found.apply(p, shifts) - p).max() < 0.05
    nobody = fit_prior_shift(p, np.full(len(p), -1), shifts)
    np.testing.assert_allclose(nobody.apply(p, shifts), p, rtol=1e-9)


def test_shifts_follow_what_was_converted_with_lately() -> None:
    examples = build_examples([[0, 0, 0, 1]] * 20 + [[0, 0, 1, 1]] * 20)
    contexts, ids = examples.contexts, examples.catalogue["advertiser_id"].to_numpy()
    found = log_shifts(contexts, ids)
    assert set(found) == set(HALF_LIVES)
    for shift in found.values():
        assert shift.shape == ids.shape and shift[1] > 0 > shift[0]
    gaps = [shift[1] - shift[0] for _, shift in sorted(found.items())]
    assert gaps == sorted(gaps, reverse=True), "the shorter the memory, the more the newest count"


def test_a_shifted_source_keeps_its_name_and_says_that_it_is_another() -> None:
    rng = np.random.default_rng(0)
    examples = build_examples([list(rng.integers(0, 5, 6)) for _ in range(40)])
    source = Cooccurrence().fit(examples)
    contexts, ids = examples.contexts, source.advertiser_ids
    shifts = log_shifts(contexts, ids)
    same, other = (Shifted(source, PriorShift(14.0, strength, 1.0), shifts) for strength in (0.0, 1.0))
    np.testing.assert_allclose(same.probabilities(contexts), source.probabilities(contexts), atol=1e-11)
    assert not np.allclose(other.probabilities(contexts), source.probabilities(contexts))
    assert len({source.model_version, same.model_version, other.model_version}) == 3
    assert same.name == source.name
    pd.testing.assert_frame_equal(
        same.predict(contexts, 3)[["user_id", "advertiser_id"]],
        source.predict(contexts, 3)[["user_id", "advertiser_id"]],
    )
