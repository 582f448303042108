"""The market keeps its rules: bidders, reserve, budgets, caps, and the propensities of the random slice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ml.world.auction import POSITION_DECAY
from ml.world.budgets import MICROS
from ml.world.life import Life
from ml.world.market import nth_of_its_kind
from ml.world.pool import Rows
from ml.world.settings import WorldSettings

Query = Callable[[str], pd.DataFrame]
SETTINGS = WorldSettings(users=1500, advertisers=150, ads=900, explored_share=0.1, frequency_cap=2)


LIMITS: list[np.ndarray] = []
"""(A,) dollars that could be spent on each of the days."""


@pytest.fixture(scope="module")
def days() -> tuple[Life, list[Rows]]:
    """Four days after a week."""
    life = Life.begin(SETTINGS.model_copy(update={"warm_up_days": 7}), 3)
    life.until(0)
    found = []
    for day in range(4):
        found.append(life.day(day)[0].shown)
        LIMITS.append(life.budgets.limit[0] / MICROS)
    return life, found


def test_budgets_are_kept_but_for_what_a_block_brings(days: tuple[Life, list[Rows]]) -> None:
    life, shown = days
    n = len(life.catalogue.names)
    for rows, limit in zip(shown, LIMITS, strict=True):
        block = (rows["time"] % 86_400) // (SETTINGS.pacing_hours * 3600)
        spent = np.zeros((24 // SETTINGS.pacing_hours, n))
        np.add.at(spent, (block, rows["advertiser"]), rows["price"] / MICROS)
        before = np.cumsum(spent, axis=0) - spent
        assert (spent[before >= limit + 1e-6] == 0).all(), "who has no money left is not shown"
    assert (np.cumsum(spent, axis=0)[-1] > 0.9 * limit).mean() > 0.1, "or nobody's budget binds"


def test_nobody_sees_an_advertiser_oftener_than_the_cap_in_a_day(days: tuple[Life, list[Rows]]) -> None:
    n = len(days[0].catalogue.names)
    often = [np.bincount(rows["user"] * n + rows["advertiser"]).max() for rows in days[1]]
    assert often == [2, 2, 2, 2]


def test_places_of_a_request_are_filled_from_the_top_and_prices_keep_the_reserve(days: tuple[Life, list[Rows]]) -> None:
    reserve = SETTINGS.reserve_cpm / 1000
    for rows in days[1]:
        assert (nth_of_its_kind(rows["request"]) == rows["place"]).all()
        assert (rows["price"] >= np.floor(reserve * POSITION_DECAY ** rows["place"] * MICROS)).all()
        assert (rows["price"] / MICROS <= rows["bid"]).all()


def test_only_the_random_slice_has_propensities_and_they_are_one_in_the_bidders(days: tuple[Life, list[Rows]]) -> None:
    rows = {name: np.concatenate([day[name] for day in days[1]]) for name in days[1][0]}
    known = ~np.isnan(rows["propensity"])
    assert abs(known.mean() - SETTINGS.explored_share) < 0.02
    bidders = 1 / rows["propensity"][known & (rows["place"] == 0)]
    assert np.allclose(bidders, np.round(bidders))
    assert np.quantile(bidders, 0.1) >= 8 and np.quantile(bidders, 0.9) <= 17
    usual, explored = (rows["price"][mask].mean() for mask in (~known, known))
    assert explored < usual


def test_the_random_slice_is_in_the_logs_and_small(query: Query, tiny: WorldSettings) -> None:
    share = query("SELECT count(propensity) / count(*) AS s, min(propensity) AS least FROM impressions")
    assert abs(share["s"][0] - tiny.explored_share) < 0.008 and 0 < share["least"][0] <= 1
