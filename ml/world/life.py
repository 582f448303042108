"""A whole world in one process: its shards and the budgets they share.

    life = Life.begin(settings, seed=7)
    life.until(0)
    for day in range(settings.total_days):
        rows = life.day(day)          # one DayRows a shard

`ml.world.crew` lives the same days with shards spread over processes; `ml.world.replay` copies a life and lives on
under other policies. It does not write logs (`writer` does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ml.world.budgets import Budgets
from ml.world.catalogue import Catalogue
from ml.world.settings import WorldSettings
from ml.world.shard import DayRows, Shard, catalogue_of, shard_bounds


@dataclass
class Life:
    """Shards and budgets between two days."""

    catalogue: Catalogue
    shards: list[Shard]
    budgets: Budgets

    @classmethod
    def begin(cls, settings: WorldSettings, seed: int) -> Life:
        """A world on its first unlogged day, `-warm_up_days`."""
        catalogue = catalogue_of(settings, seed)
        shards = [Shard(settings, seed, number, catalogue) for number in range(len(shard_bounds(settings)))]
        return cls(catalogue, shards, open_budgets(settings, catalogue))

    def until(self, day: int) -> None:
        """Live all days before `day`, from the first one on."""
        for earlier in range(-self.shards[0].settings.warm_up_days, day):
            self.day(earlier)

    def day(self, day: int) -> list[DayRows]:
        """Live a day."""
        for shard in self.shards:
            shard.wake(day)
        live_blocks(self.budgets, self.catalogue, day, lambda *block: (shard.block(*block) for shard in self.shards))
        return [shard.sleep() for shard in self.shards]


def live_blocks(
    budgets: Budgets,
    catalogue: Catalogue,
    day: int,
    block: Callable[[int, np.ndarray], Iterable[np.ndarray]],
) -> None:
    """The auctions of a day: before each block of hours decide who takes part, after it take in what it cost.

    Args:
        budgets: of all markets.
        catalogue: the advertisers.
        day: day number.
        block: given number of the block and participation (M, A), gives what it cost (M, A), a part a shard.
    """
    budgets.open(catalogue.season(day)[catalogue.sub])
    for number in range(budgets.blocks):
        participation = budgets.participation(number)
        spent = sum(block(number, participation), np.zeros(budgets.spent.shape, dtype=np.int64))
        budgets.settle(number, spent, participation)


def open_budgets(settings: WorldSettings, catalogue: Catalogue) -> Budgets:
    """Everybody's budget in one market."""
    return Budgets(catalogue.budget, catalogue.pacing, settings.pacing_hours, np.ones(1))
