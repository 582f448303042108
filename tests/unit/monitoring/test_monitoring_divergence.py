"""PSI and JS: their defining properties, and no bias or false alarms where there is no drift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.monitoring.divergence import compare, dispersion, jensen_shannon, psi, shares

COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=30).map(np.array)


@st.composite
def two_distributions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    first = draw(COUNTS)
    second = draw(st.lists(st.integers(0, 1000), min_size=len(first), max_size=len(first)))
    return shares(first), shares(np.array(second))


@given(COUNTS)
def test_shares_are_a_distribution_without_empty_bins(counts: np.ndarray) -> None:
    found = shares(counts)
    assert (found > 0).all() and found.sum() == pytest.approx(1)


@given(two_distributions())
def test_psi_is_symmetric_and_zero_only_for_equal_ones(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = pair
    assert psi(p, p) == 0
    assert psi(p, q) == pytest.approx(psi(q, p))
    assert psi(p, q) >= 0
    if np.abs(p - q).max() > 1e-6:
        assert psi(p, q) > 0


@given(two_distributions())
def test_js_is_symmetric_and_within_0_and_1(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = pair
    assert 0 <= jensen_shannon(p, q) <= 1
    assert jensen_shannon(p, q) == pytest.approx(jensen_shannon(q, p), abs=1e-12)
    assert jensen_shannon(p, p) == 0
    # For distributions that are close, JS in bits is PSI / (8 ln 2); it never exceeds PSI / (4 ln 2).
    assert jensen_shannon(p, q) <= psi(p, q) / (4 * np.log(2)) + 1e-12


def test_js_of_disjoint_distributions_is_1_and_psi_of_a_known_pair_is_its_sum() -> None:
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1)
    assert psi(np.array([0.5, 0.5]), np.array([0.25, 0.75])) == pytest.approx(0.25 * np.log(2) - 0.25 * np.log(2 / 3))


@pytest.mark.parametrize(("bins", "n", "m"), [(5, 150, 600), (20, 170, 680), (20, 2000, 6000)])
def test_without_drift_debiased_psi_is_about_zero_and_p_values_are_uniform(bins: int, n: int, m: int) -> None:
    rng = np.random.default_rng(5)
    truth = rng.dirichlet(np.full(bins, 4.0))
    found = [compare(rng.multinomial(n, truth), rng.multinomial(m, truth), 1.0) for _ in range(2000)]
    debiased, raw = np.array([f.debiased for f in found]), np.array([f.psi for f in found])
    p_values = np.array([f.p_value for f in found])
    assert raw.mean() > 0.5 * (bins - 1) * (1 / n + 1 / m), "the bias that is taken off is there"
    assert abs(debiased.mean()) < 0.15 * raw.mean()
    assert 0.02 < (p_values < 0.05).mean() < 0.08
    assert (p_values < 1e-4).mean() < 0.003


def test_clustered_events_raise_false_alarms_unless_the_dispersion_is_taken_into_account() -> None:
    rng = np.random.default_rng(6)
    truth = rng.dirichlet(np.full(8, 5.0))

    def window() -> np.ndarray:
        return rng.multinomial(60, truth) * 4  # every person does the same thing four times

    found, naive = [], []
    for _ in range(300):
        weeks = np.stack([window() for _ in range(4)])
        now, reference = window(), weeks.sum(axis=0)
        found.append(compare(now, reference, dispersion(weeks)).p_value < 0.01)
        naive.append(compare(now, reference, 1.0).p_value < 0.01)
    assert np.mean(naive) > 0.3
    assert np.mean(found) < 0.1


@given(st.integers(2, 10), st.integers(1, 5), st.integers(0, 100))
def test_dispersion_is_never_below_1(bins: int, windows: int, seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 50, (windows, bins))
    assert dispersion(counts) >= 1
    assert dispersion(np.tile(counts[0], (3, 1))) == 1


@given(COUNTS.filter(lambda c: c.sum() > 0), st.floats(1, 10))
def test_a_shift_is_told_from_chance_by_size(counts: np.ndarray, spread: float) -> None:
    """The same shares on ten times the data: less bias, smaller p-value, PSI nearly the same."""
    other = np.roll(counts, 1) + 1
    few, many = compare(counts, other, spread), compare(10 * counts, 10 * other, spread)
    assert many.p_value <= few.p_value + 1e-9 or many.psi < few.psi
    assert few.debiased < few.psi and many.psi - many.debiased < few.psi - few.debiased
