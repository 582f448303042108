"""Auctions by array say what an auction by hand says: the generalised second price with a reserve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.world.auction import MOST_CANDIDATES, run_auctions

RESERVE = 0.01


def by_hand(value: np.ndarray, advertiser: np.ndarray, places: int) -> list[tuple[int, int, float]]:
    """(slot, place, what it beats) of one request."""
    best: dict[int, int] = {}
    for slot in range(len(value)):
        rival = best.get(int(advertiser[slot]))
        if value[slot] >= RESERVE and (rival is None or value[slot] > value[rival]):
            best[int(advertiser[slot])] = slot
    ranked = sorted(best.values(), key=lambda slot: -value[slot])
    following = [value[slot] for slot in ranked[1:]] + [RESERVE]
    return [(ranked[p], p, max(following[p], RESERVE)) for p in range(min(places, len(ranked)))]


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 24), st.integers(2, 9))
def test_the_best_ad_of_each_advertiser_ranked_by_value_pays_the_next_value(
    seed: int, n: int, k: int, advertisers: int
) -> None:
    rng = np.random.default_rng(seed)
    log_value = rng.normal(-4, 1.5, (n, k)).astype(np.float32)
    log_value[rng.random((n, k)) < 0.2] = -np.inf
    advertiser, places = rng.integers(0, advertisers, (n, k)), rng.integers(1, 4, n)
    nobody = np.zeros(n, dtype=bool)
    won = run_auctions(log_value, advertiser, places, RESERVE, nobody, np.zeros((n, k), dtype=np.uint64))
    found = list(zip(won.row, won.slot, won.place, won.next_value, strict=True))
    expected = [
        (row, *place)
        for row in range(n)
        for place in by_hand(np.exp(log_value[row].astype(np.float64)), advertiser[row], int(places[row]))
    ]
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    assert np.allclose([row[3] for row in found], [row[3] for row in expected])
    taking_part = np.where(np.exp(log_value) >= RESERVE, advertiser, -1)
    assert won.bidders.tolist() == [len(set(row) - {-1}) for row in taking_part.tolist()]


def test_the_random_slice_ranks_all_bidders_alike_and_pays_the_reserve() -> None:
    n, k = 30_000, 5
    rng = np.random.default_rng(3)
    log_value = np.tile(np.log([5.0, 1.0, 0.1, 0.001, 4.0]), (n, 1)).astype(np.float32)
    advertiser = np.tile([0, 1, 2, 3, 0], (n, 1))
    luck = rng.integers(0, 2**63, (n, k)).astype(np.uint64) * np.uint64(2)
    won = run_auctions(log_value, advertiser, np.full(n, 2), RESERVE, np.ones(n, dtype=bool), luck)
    assert (won.bidders == 3).all(), "one below the reserve, and an advertiser's second ad, do not count"
    for place in (0, 1):
        shares = np.bincount(won.slot[won.place == place], minlength=k) / n
        assert np.allclose(shares, [1 / 3, 1 / 3, 1 / 3, 0, 0], atol=0.012)
    assert (won.next_value == RESERVE).all()


def test_more_candidates_than_fit_are_refused() -> None:
    k = MOST_CANDIDATES + 1
    with pytest.raises(ValueError, match="65 candidates"):
        run_auctions(
            np.zeros((1, k), np.float32), np.zeros((1, k), np.int64), np.ones(1, np.int64), 1.0, np.zeros(1, bool),
            np.zeros((1, k), np.uint64),
        )  # fmt: skip
