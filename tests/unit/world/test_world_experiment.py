"""Experiments estimate what replay knows; here the arithmetic, and worlds in which the answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.world.clock import Chance
from ml.world.experiment import MEASURES, Groups, assign, budget_split, estimates, truth, user_split
from ml.world.policies import LoggingPolicy, RandomPolicy
from ml.world.replay import METRICS, Outcome, Replay
from ml.world.settings import WorldSettings

SETTINGS = WorldSettings(users=600, advertisers=24, ads=120, warm_up_days=8)


@pytest.fixture(scope="module")
def replay() -> Replay:
    return Replay.lived(SETTINGS, 11, 0)


def outcome(by_user: np.ndarray) -> Outcome:
    return Outcome(pd.DataFrame(by_user, columns=list(METRICS)), pd.DataFrame())


def test_groups_are_even_and_random() -> None:
    groups = assign(1000, 3, Chance(1))
    assert sorted(groups.sizes) == [166, 166, 167, 167, 167, 167]
    assert 430 < (groups.group_of[:500] % 2 == groups.group_of[500:] % 2).sum() * 2 < 570
    assert (assign(1000, 3, Chance(2)).group_of != groups.group_of).any()
    with pytest.raises(ValueError, match="10 users do not make 6 replicates"):
        assign(10, 6, Chance(1))


def test_a_difference_of_means_has_the_t_interval_of_its_replicates() -> None:
    rng = np.random.default_rng(5)
    groups = Groups(np.arange(40) % 8, 4)
    rows = rng.poisson(3.0, (40, len(METRICS))).astype(np.float64)
    found = estimates(outcome(rows), groups)["conversions"]
    sums = np.bincount(groups.group_of, rows[:, METRICS.index("conversions")]) / 5 * 40
    pairs = sums[0::2] - sums[1::2]
    assert found.value == pytest.approx(pairs.mean())
    assert found.high - found.value == pytest.approx(3.1824463 * pairs.std(ddof=1) / 2)


def test_intervals_cover_a_known_ratio_as_often_as_they_say() -> None:
    """Costs and conversions with a known ratio in each arm: 0.5 in A, 0.4 in B."""
    rng, covered = np.random.default_rng(9), 0
    groups = Groups(np.arange(1200) % 16, 8)
    for _ in range(300):
        rows = np.zeros((1200, len(METRICS)))
        rows[:, METRICS.index("by_click")] = rng.poisson(0.3, 1200)
        rows[:, METRICS.index("spend")] = rng.gamma(1.0, 0.3, 1200) * np.where(groups.in_b, 0.4, 0.5)
        covered += estimates(outcome(rows), groups)["cpa"].covers(0.1)
    assert 272 <= covered <= 296  # binomial(300, 0.95): 285 +- 3 standard deviations


def test_an_a_a_test_finds_nothing_and_replay_knows_there_is_nothing(replay: Replay) -> None:
    usual = LoggingPolicy()
    assert set(truth(replay, usual, usual, 2).values()) == {0.0}
    for design in (budget_split, user_split):
        found = design(replay, usual, usual, 3, assign(SETTINGS.users, 5, Chance(3)))
        assert set(found) == set(MEASURES)
        assert sum(estimate.covers(0.0) for estimate in found.values()) >= 3


def test_a_worse_policy_is_found_out_by_either_design(replay: Replay) -> None:
    usual, chance = LoggingPolicy(), RandomPolicy()
    known = truth(replay, usual, chance, 5)
    assert known["roas"] > 0
    split = budget_split(replay, usual, chance, 5, assign(SETTINGS.users, 5, Chance(3)))
    assert sum(split[name].covers(known[name]) for name in MEASURES) >= 3
