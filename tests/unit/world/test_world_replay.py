"""Replay tells the truth: the same policy the same outcome, and only what follows from a difference differs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from ml.errors import BadInput
from ml.world.life import Life
from ml.world.policies import (
    Ask,
    LoggingPolicy,
    Predictions,
    PriorPolicy,
    RandomPolicy,
    ScoredPolicy,
    SplitPolicy,
)
from ml.world.replay import METRICS, Replay, Split
from ml.world.settings import WorldSettings
from ml.world.shard import Shard

SETTINGS = WorldSettings(users=900, advertisers=60, ads=300, warm_up_days=10, shard_users=400)
DAYS = 5
NOBODY = Predictions.of(*(np.zeros(0, dtype=np.int64),) * 2, np.zeros(0))


@dataclass
class Oracle(LoggingPolicy):
    """Knows what users want: log of the true click rate, and of what a click is worth beyond it."""

    shard: Shard

    def log_rate(self, ask: Ask, ads: np.ndarray) -> np.ndarray:
        people, catalogue = self.shard.population, ask.catalogue
        user, adv, sub = ask.local[:, None], catalogue.ad_advertiser[ads], catalogue.ad_sub[ads]
        wants = np.zeros(people.interest.shape, dtype=bool)
        intents = self.shard.intents.open
        wants[intents["user"], intents["sub"]] = True
        logit = 4.0 * wants[user, sub] + 0.35 * np.log(people.interest[user, sub]) + catalogue.ad_quality[ads]
        return (logit - 4 + 0.5 * people.liking(user, adv)).astype(np.float32)


@pytest.fixture(scope="module")
def replay() -> Replay:
    return Replay.lived(SETTINGS, 5, 3)


@pytest.fixture(scope="module")
def logged(replay: Replay) -> pd.DataFrame:
    return replay.run(LoggingPolicy(), DAYS).by_user


def test_a_replay_of_the_logging_policy_is_the_world_as_it_went(replay: Replay) -> None:
    life = Life.begin(SETTINGS, 5)
    life.until(3)
    outcome = replay.run(LoggingPolicy(), 1)
    shown = [rows.shown for rows in life.day(3)]
    assert outcome.totals.impressions == sum(len(rows["ad"]) for rows in shown)
    assert outcome.totals.spend == pytest.approx(sum(rows["price"].sum() for rows in shown) / 1e6)


def test_a_policy_that_changes_nothing_has_the_very_same_outcome(replay: Replay, logged: pd.DataFrame) -> None:
    usual = LoggingPolicy()
    in_b = np.arange(SETTINGS.users) % 2 == 0
    for same in (LoggingPolicy(), PriorPolicy(NOBODY), ScoredPolicy(usual.log_rate), SplitPolicy(usual, usual, in_b)):
        pd.testing.assert_frame_equal(replay.run(same, DAYS).by_user, logged, check_exact=True)


def test_users_and_advertisers_add_up_alike(replay: Replay, logged: pd.DataFrame) -> None:
    outcome = replay.run(LoggingPolicy(), DAYS)
    for name in METRICS:
        assert outcome.by_advertiser[name].sum() == pytest.approx(logged[name].sum())
    assert set(outcome.by_advertiser["day"]) == {3, 4, 5, 6, 7}
    assert 0 < outcome.totals.by_view < outcome.totals.by_click + outcome.totals.by_view < outcome.totals.conversions
    credited = outcome.totals.by_click + outcome.totals.by_view
    assert outcome.totals.cpa * credited == pytest.approx(outcome.totals.spend)
    assert outcome.totals.roas * outcome.totals.spend == pytest.approx(outcome.totals.credited_value)


def test_one_user_s_other_ads_change_nobody_else_while_budgets_do_not_bind() -> None:
    rich = Replay.lived(SETTINGS.model_copy(update={"budget_per_user": 1000.0}), 5, 0)
    usual = LoggingPolicy()

    def silent(ask: Ask, ads: np.ndarray) -> np.ndarray:
        """Nothing is worth the reserve to user 450: fewer rows, so that draws by row would all move."""
        return np.where(ask.user[:, None] == 450, np.float32(-30.0), usual.log_rate(ask, ads))

    only = Predictions.of(np.full(3, 450), np.arange(3), np.full(3, 0.3))
    before = rich.run(usual, DAYS).by_user
    for policy in (ScoredPolicy(silent), PriorPolicy(only, weight=3.0)):
        after = rich.run(policy, DAYS).by_user
        assert np.flatnonzero((before != after).any(axis=1)).tolist() == [450]


def test_knowing_what_people_want_beats_the_logging_policy_which_beats_chance(replay: Replay) -> None:
    life = replay.copy()
    for shard in life.shards:
        shard.policy = Oracle(shard)
    oracle = replay.live(life, DAYS).totals
    usual, chance = (replay.run(policy, DAYS).totals for policy in (LoggingPolicy(), RandomPolicy()))
    assert oracle.conversions > 1.03 * usual.conversions
    assert oracle.clicks > 1.3 * usual.clicks > 1.3 * 1.1 * chance.clicks
    assert oracle.by_click > usual.by_click > chance.by_click


def test_predicted_advertisers_are_shown_oftener(replay: Replay) -> None:
    users = np.arange(0, SETTINGS.users, 2)
    favourite = (users * 7) % SETTINGS.advertisers
    policy = PriorPolicy(Predictions.of(users, favourite, np.full(len(users), 0.5)), quota=2, weight=1.0)

    def hits(arm: LoggingPolicy) -> int:
        life = replay.copy()
        for shard in life.shards:
            shard.policy = arm
        found = 0
        for shard, rows in zip(life.shards, life.day(3), strict=True):
            user = rows.shown["user"] + shard.population.first
            found += int((rows.shown["advertiser"] == (user * 7) % SETTINGS.advertisers)[user % 2 == 0].sum())
        return found

    assert hits(policy) > 3 * hits(LoggingPolicy())


def test_a_table_of_predictions_is_frozen_by_the_world_s_ids(replay: Replay) -> None:
    table = pd.DataFrame(
        {
            "user_id": ["u00401", "u00003", "u00401"],
            "advertiser_id": ["adv002", "adv059", "adv010"],
            "probability": [0.2, 0.9, 0.3],
        }
    )
    frozen = replay.predictions(table)
    assert frozen.users.tolist() == [3, 401]
    assert frozen.advertisers.tolist() == [[59, -1], [10, 2]]
    assert frozen.probability.tolist() == [[0.9, 0.0], [0.3, 0.2]]
    for wrong in (table.assign(user_id="u99999"), table.assign(advertiser_id="adv002")):
        with pytest.raises(BadInput, match="one source and one snapshot"):
            replay.predictions(wrong)


def test_markets_that_share_nothing_add_up_to_the_whole_while_budgets_do_not_bind() -> None:
    rich = Replay.lived(SETTINGS.model_copy(update={"budget_per_user": 1000.0}), 5, 0)
    halves = Split(np.arange(SETTINGS.users) % 2, np.array([0.5, 0.5]))
    whole, split = rich.run(LoggingPolicy(), DAYS), rich.run(LoggingPolicy(), DAYS, halves)
    pd.testing.assert_frame_equal(whole.by_user, split.by_user)
    assert split.by_group(halves.market_of)["impressions"].sum() == whole.totals.impressions
