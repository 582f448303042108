"""A shard: some neighbouring users and everything that happens to them, a block of hours at a time.

    shard = Shard(settings, 7, number=0)
    shard.wake(day)
    for block in range(blocks):
        spent = shard.block(block, participation)
    rows = shard.sleep()

Shards share nothing but the budgets, which their owner (`ml.world.life`) settles between blocks; so any process may
live any shard. How users are cut into shards follows from the settings alone, never from the number of processes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ml.world.catalogue import Catalogue, draw_catalogue
from ml.world.clock import DAY, HOUR, Chance, Stage
from ml.world.intents import Intents
from ml.world.market import Market
from ml.world.policies import LoggingPolicy, Policy
from ml.world.pool import Rows, stack, take
from ml.world.population import Population
from ml.world.response import Response
from ml.world.scenarios import SCENARIOS
from ml.world.settings import WorldSettings


@dataclass(frozen=True)
class DayRows:
    """What a day leaves behind in a shard, each table in time order; users by their number in the shard.

    `impression` of a click is its row in `shown`.
    """

    activity: Rows
    shown: Rows
    clicks: Rows
    conversions: Rows


@dataclass
class Shard:
    """Users `number x shard_users` and following.

    Args:
        settings, seed: the world.
        number: which shard.
        catalogue: drawn from the seed if not given.
    """

    settings: WorldSettings
    seed: int
    number: int
    catalogue: Catalogue
    policy: Policy = field(default_factory=LoggingPolicy)
    """What proposes and scores ads."""
    market_of: np.ndarray = field(init=False)
    """(U,) market of each user; everybody is in market 0 unless an experiment splits them."""

    def __post_init__(self) -> None:
        first, size = shard_bounds(self.settings)[self.number]
        chance = Chance(self.seed, self.number)
        whole = Chance(self.seed)
        self.population = Population(self.settings.model_copy(update={"users": size}), self.catalogue, chance, first)
        self.intents = Intents(self.population, chance)
        self.market = Market(self.population, chance)
        self.response = Response(self.population, self.intents, chance)
        self.scenario = SCENARIOS[self.settings.scenario](whole, self.settings.scenario_day)
        self.market_of = np.zeros(size, dtype=np.int64)

    def wake(self, day: int) -> None:
        """A day begins: people change, want things and will search; the day's requests are known."""
        if day == 0:
            self.response.ledger.forget()
        self._day = day
        self.scenario.wake(day, self.population)
        self.response.slower = self.scenario.slower(day)
        self.population.live(day)
        self.intents.begin(day)
        self._activity = self.intents.activity(day)
        self._requests = self.market.requests(day, self._activity)
        self._blocks: list[tuple[Rows, Rows]] = []

    @property
    def requested(self) -> int:
        """Ad requests of the day, each one auction."""
        return len(self._requests["user"])

    def block(self, block: int, participation: np.ndarray) -> np.ndarray:
        """Show ads and take clicks for some hours; returns (M, A) what it cost, millionths of a dollar.

        Args:
            block: number of the block in the day.
            participation: (M, A) probability of each advertiser's taking part, by market.
        """
        hours = self.settings.pacing_hours
        edges = self._day * DAY + np.array([block, block + 1]) * hours * HOUR
        first, end = np.searchsorted(self._requests["time"], edges)
        requests = take(self._requests, slice(int(first), int(end)))
        shown = self.market.impressions(self._day, requests, self.policy, participation, self.market_of)
        self._blocks.append((shown, self.response.clicks(self._day, shown)))
        markets, advertisers = participation.shape
        whose = self.market_of[shown["user"]] * advertisers + shown["advertiser"]
        spent = np.zeros(markets * advertisers, dtype=np.int64)
        np.add.at(spent, whose, shown["price"])
        return spent.reshape(markets, advertisers)

    def sleep(self) -> DayRows:
        """The day is over: conversions fall due, and the platform learns from what it has logged."""
        shown, clicks = (stack(*parts) for parts in zip(*self._blocks, strict=True))
        conversions = self.response.conversions(self._day)
        self.market.observe(self._activity)
        clicks = take(clicks, np.lexsort((clicks["impression"], clicks["time"])))
        return DayRows(self._activity, shown, clicks, conversions)


def shard_bounds(settings: WorldSettings) -> list[tuple[int, int]]:
    """First user and number of users of each shard."""
    step = settings.shard_users
    return [(first, min(step, settings.users - first)) for first in range(0, settings.users, step)]


def catalogue_of(settings: WorldSettings, seed: int) -> Catalogue:
    """The advertisers and ads of a world, those included that its scenario brings."""
    chance = Chance(seed)
    found = draw_catalogue(settings, chance.of(Stage.CATALOGUE))
    return SCENARIOS[settings.scenario](chance, settings.scenario_day).catalogue(found, settings)
