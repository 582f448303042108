"""Budgets last the day, are never much passed, and end what they should end."""

from __future__ import annotations

import numpy as np

from ml.world.budgets import MICROS, Budgets
from ml.world.clock import traffic
from ml.world.draws import key, uniform

HOURS = 4


def spend_a_day(budgets: Budgets, potential: np.ndarray, day: int) -> list[np.ndarray]:
    """Spent after each block, if a day at full participation would cost `potential` (A,) dollars, cent by cent."""
    budgets.open(np.ones(len(potential)))
    after = []
    for block in range(budgets.blocks):
        chance = budgets.participation(block)
        events = potential * 100 * traffic(block * HOURS, (block + 1) * HOURS)
        most = int(events.max()) + 1
        there = np.arange(most) < events[:, None]
        luck = uniform(key(day, block, np.arange(len(potential))[:, None], np.arange(most)))
        cost = ((luck < chance[0][:, None]) & there).sum(axis=1) * (MICROS // 100)
        budgets.settle(block, cost[None, :], chance)
        after.append(budgets.spent[0].copy())
    return after


def test_paced_budgets_last_until_midnight_and_hasty_ones_are_gone_by_noon() -> None:
    potential = np.array([40.0, 40.0, 40.0])
    budgets = Budgets(np.array([10.0, 10.0, 100.0]), np.array([True, False, True]), HOURS, np.ones(1))
    for day in range(4):
        after = np.array(spend_a_day(budgets, potential, day)) / MICROS
    paced, hasty, rich = after.T
    by_traffic = np.array([traffic(0, 4 * (block + 1)) for block in range(6)])
    assert np.abs(paced / 10 - by_traffic).max() < 0.08
    assert 9 < paced[-1] < 10.6
    assert hasty[2] > 9 > paced[2] + 3 and hasty[-1] < 10.6
    assert abs(rich[-1] - 40) < 0.5, "who can afford everything takes part in everything"


def test_markets_have_their_shares_and_expect_their_part() -> None:
    budgets = Budgets(np.array([8.0]), np.array([True]), HOURS, np.ones(1))
    spend_a_day(budgets, np.array([40.0]), 0)
    halves = budgets.split(np.array([0.5, 0.5]))
    halves.open(np.ones(1))
    budgets.open(np.ones(1))
    assert halves.limit[0] == halves.limit[1]
    assert abs(int(halves.limit.sum()) - int(budgets.limit.sum())) <= 2
    assert np.allclose(halves.participation(0), budgets.participation(0))


def test_what_a_day_spends_too_much_or_too_little_is_made_up_for_on_the_next() -> None:
    budgets = Budgets(np.full(4, 10.0), np.ones(4, dtype=bool), HOURS, np.ones(1))
    budgets.open(np.ones(4))
    assert (budgets.limit == 10 * MICROS).all()
    spent = np.array([[9.0, 12.0, 1.0, 30.0]]) * MICROS
    budgets.settle(0, spent.astype(np.int64), np.ones((1, 4)))
    assert budgets.participation(1)[0, [1, 3]].tolist() == [0, 0], "who has passed the budget is out"
    budgets.open(np.ones(4))
    assert (budgets.limit / MICROS).tolist() == [[11.0, 8.0, 13.0, 7.0]], "3 dollars at most"


def test_a_season_changes_what_may_be_spent() -> None:
    budgets = Budgets(np.array([8.0, 8.0]), np.ones(2, dtype=bool), HOURS, np.ones(1))
    budgets.open(np.array([0.5, 2.0]))
    assert budgets.limit.tolist() == [[4 * MICROS, 16 * MICROS]]
