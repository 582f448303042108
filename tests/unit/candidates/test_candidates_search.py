"""Exact search against a plain sort, with ties, exclusions, and a million ads."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from ml.candidates import search
from ml.candidates.search import top_ads, top_columns


def plain(users: np.ndarray, ads: np.ndarray, n: int, barred: list[np.ndarray | None]) -> np.ndarray:
    scores = users @ ads.T
    for row, excluded in enumerate(barred):
        if excluded is not None:
            scores[row, excluded] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    return np.where(np.isneginf(np.take_along_axis(scores, order, axis=1)), -1, order)


def test_top_columns_equals_a_stable_sort():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (40, 25)).astype(np.float32)
    for n in (0, 1, 7, 25):
        assert (top_columns(scores, n) == np.argsort(-scores, axis=1, kind="stable")[:, :n]).all()


@pytest.mark.parametrize("at_once", [1, 7, 64, 1000])
@pytest.mark.parametrize("rising", [False, True])
def test_blocks_of_any_size_equal_a_stable_sort(monkeypatch, at_once, rising):
    """Whole numbers, so that products are exact and many scores equal; rising scores crowd every block."""
    monkeypatch.setattr(search, "ADS_AT_ONCE", at_once)
    monkeypatch.setattr(search, "USERS_AT_ONCE", 5)
    rng = np.random.default_rng(1)
    users = rng.integers(0, 4, (17, 3)).astype(np.float32)
    ads = rng.integers(-2, 3, (200, 3)).astype(np.float32)
    if rising:
        ads = ads[np.argsort(ads.sum(axis=1), kind="stable")]
    barred = [None if u % 3 else np.sort(rng.choice(200, 150, replace=False)) for u in range(17)]
    barred[0] = np.arange(1, 200)  # one ad is left
    for n in (0, 1, 10, 60):
        found, scores = top_ads(users, ads, n, barred)
        assert (found == plain(users, ads, n, barred)).all()
        assert (scores[:, 1:] <= scores[:, :-1]).all()
        assert (np.isneginf(scores) == (found < 0)).all()
    assert (top_ads(users, ads, 10)[0] == plain(users, ads, 10, [None] * 17)).all()


def test_a_million_ads_in_bounded_memory():
    """The best of 1,000,000 ads: exact, and far from the 40 MB that the scores of these ten users would take."""
    rng = np.random.default_rng(2)
    ads = rng.standard_normal((1_000_000, 16), dtype=np.float32)
    users = rng.standard_normal((10, 16), dtype=np.float32)
    tracemalloc.start()
    found, scores = top_ads(users, ads, 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6
    for row in (0, 9):
        everything = ads @ users[row]
        assert np.allclose(np.sort(everything)[::-1][:100], scores[row], rtol=1e-4)
        assert np.allclose(everything[found[row]], scores[row], rtol=1e-4)
