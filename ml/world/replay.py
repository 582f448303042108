"""Replay: the same days again under another policy, so that what an arm truly changes is known.

    replay = Replay.lived(settings, seed=7, day=53)
    frozen = replay.predictions(table)                            # rows of ml.predictors.predictions
    truth = replay.run(PriorPolicy(frozen), days=7).totals        # against
    usual = replay.run(LoggingPolicy(), days=7).totals

The world is lived once, to the morning of `day`; every arm starts from a copy of that state, with predictions frozen
before it, and lives on. Common random numbers: people want the same things at the same times in every arm, and every
draw that an ad has a part in belongs to what it is about (`ml.world.draws`), so a policy that changes nothing gives the
very same outcome and one that changes a user's ads changes what follows from them: that user's clicks, intents, choices
and memories, and through budgets other users' auctions. It writes no logs and estimates nothing (`experiment` does).
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pandas as pd

from ml.errors import BadInput
from ml.world.budgets import MICROS
from ml.world.credit import CLICK, VIEW
from ml.world.life import Life
from ml.world.policies import Policy, Predictions
from ml.world.pool import Rows
from ml.world.settings import WorldSettings
from ml.world.shard import DayRows


@dataclass(frozen=True)
class Totals:
    """What happened, in all; differences of totals are differences of outcomes.

    Attributes:
        impressions, clicks: counts.
        conversions: all of them, credited to an ad or not.
        by_click, by_view: those credited to a click and to a view.
        value: dollars of all conversions; credited_value: of the credited ones.
        spend: dollars paid by advertisers, which is the platform's revenue.
    """

    impressions: float
    clicks: float
    conversions: float
    by_click: float
    by_view: float
    value: float
    credited_value: float
    spend: float

    @property
    def cpa(self) -> float:
        """Cost per action: spend per credited conversion, dollars; NaN without any."""
        credited = self.by_click + self.by_view
        return self.spend / credited if credited else float("nan")

    @property
    def roas(self) -> float:
        """Return on ad spend: credited value over spend; NaN without spend."""
        return self.credited_value / self.spend if self.spend else float("nan")


METRICS = tuple(field.name for field in fields(Totals))


@dataclass(frozen=True)
class Outcome:
    """One arm's days.

    Attributes:
        by_user: one row a user of the world, by number; columns METRICS.
        by_advertiser: one row per day and advertiser at which something happened; columns day, advertiser, METRICS.
    """

    by_user: pd.DataFrame
    by_advertiser: pd.DataFrame

    @property
    def totals(self) -> Totals:
        """Over all users and days."""
        return totals(self.by_user)

    def by_group(self, group: np.ndarray) -> pd.DataFrame:
        """Sums by group, (U,) the group of each user; one row a group, columns METRICS."""
        return self.by_user.groupby(group).sum()


def totals(rows: pd.DataFrame) -> Totals:
    """Sums of the METRICS columns of some rows."""
    return Totals(**{name: float(rows[name].sum()) for name in METRICS})


@dataclass(frozen=True)
class Split:
    """Users split into markets (M), each with its share of every budget.

    Attributes:
        market_of: (U,) market of each user of the world.
        shares: (M,) share of every advertiser's budget; they sum to 1.
    """

    market_of: np.ndarray
    shares: np.ndarray


class Replay:
    """The state of a world on the morning of a day, to live on from under any policy.

    Args:
        life: lived to the end of the day before; later changes to it make no difference.
        day: the day.
    """

    def __init__(self, life: Life, day: int) -> None:
        self.day, self.settings = day, life.shards[0].settings
        self._state = pickle.dumps(life, protocol=pickle.HIGHEST_PROTOCOL)

    @classmethod
    def lived(cls, settings: WorldSettings, seed: int, day: int) -> Self:
        """Live a world under the logging policy up to `day`, which is not lived yet."""
        life = Life.begin(settings, seed)
        life.until(day)
        return cls(life, day)

    def copy(self) -> Life:
        """The world as it was that morning."""
        life: Life = pickle.loads(self._state)
        return life

    def predictions(self, table: pd.DataFrame) -> Predictions:
        """Predictions by the world's ids, frozen, as `PriorPolicy` takes them.

        Args:
            table: rows of one source and one snapshot before `day`; columns user_id, advertiser_id, probability, as in
                `ml.predictors.predictions`.

        Raises:
            BadInput: a user or an advertiser is not of this world, or a pair comes twice.
        """
        life = self.copy()
        users = pd.Index([name for shard in life.shards for name in shard.population.ids])
        user = users.get_indexer(pd.Index(table["user_id"]))
        advertiser = pd.Index(life.catalogue.ids).get_indexer(pd.Index(table["advertiser_id"]))
        unknown = int(((user < 0) | (advertiser < 0)).sum())
        twice = int(table[["user_id", "advertiser_id"]].duplicated().sum())
        if unknown or twice:
            raise BadInput(
                f"{unknown} rows name a user or an advertiser that this world does not have, {twice} repeat a pair",
                where="predictions to replay",
                remedy="give the predictions of one source and one snapshot, made from this world's own logs",
            )
        return Predictions.of(user, advertiser, table["probability"].to_numpy(dtype=np.float64))

    def run(self, policy: Policy, days: int, split: Split | None = None) -> Outcome:
        """Live `days` days under a policy, in one market or, with `split`, in several."""
        life = self.copy()
        for shard in life.shards:
            shard.policy = policy
        if split is not None:
            life.budgets = life.budgets.split(split.shares)
            for shard in life.shards:
                first = shard.population.first
                shard.market_of = split.market_of[first : first + len(shard.market_of)]
        return self.live(life, days)

    def live(self, life: Life, days: int) -> Outcome:
        """Live `days` days of a copy, as its shards' policies say, and count."""
        users, advertisers = self.settings.users, len(life.catalogue.names)
        by_user = np.zeros((users, len(METRICS)))
        found: list[pd.DataFrame] = []
        for day in range(self.day, self.day + days):
            by_advertiser = np.zeros((advertisers, len(METRICS)))
            for shard, rows in zip(life.shards, life.day(day), strict=True):
                of_shard = slice(shard.population.first, shard.population.first + len(shard.market_of))
                by_user[of_shard] += _count(rows, "user", len(shard.market_of))
                by_advertiser += _count(rows, "advertiser", advertisers)
            some = np.flatnonzero(by_advertiser.any(axis=1))
            frame = pd.DataFrame(by_advertiser[some], columns=list(METRICS))
            found.append(frame.assign(day=day, advertiser=some)[["day", "advertiser", *METRICS]])
        return Outcome(pd.DataFrame(by_user, columns=list(METRICS)), pd.concat(found, ignore_index=True))


def _count(rows: DayRows, by: str, n: int) -> np.ndarray:
    """(n, METRICS) a day's events and dollars by a column of whole numbers below n."""

    def sums(events: Rows, weight: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(events[by], weight, minlength=n)

    shown, found = rows.shown, rows.conversions
    clicked = {by: shown[by][rows.clicks["impression"]]}
    by_click, by_view = found["attribution"] == CLICK, found["attribution"] == VIEW
    columns = (
        sums(shown), sums(clicked), sums(found), sums(found, by_click * 1.0), sums(found, by_view * 1.0),
        sums(found, found["value"]), sums(found, found["value"] * (by_click | by_view)),
        sums(shown, shown["price"] / MICROS),
    )  # fmt: skip
    return np.stack(columns, axis=1)
