"""Scenarios: what happens to a world from one day on, for tests of drift and of data checks.

    none             a quiet world: seasons, life events, advertisers that come and go
    interest_upset   everybody suddenly wants other things: tastes move from each subvertical to another one
    sudden_trend     everybody suddenly wants one thing much more than before
    new_advertisers  a wave: within three days one advertiser in eight is new (`ml.world.newcomers`)
    slow_conversions conversions become known three times as late
    broken_column    an upstream export writes `activity.advertiser_id` in another format: visits point to nobody

A scenario draws from a generator of its own (`Stage.SCENARIO`) and does nothing before its day, so the logs of the
days before are byte for byte those of the quiet world. A new one is a class with some hooks and a line in SCENARIOS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.world.clock import Chance, Stage

if TYPE_CHECKING:
    from ml.world.catalogue import Catalogue
    from ml.world.population import Population
    from ml.world.settings import WorldSettings

ScenarioName = Literal["none", "interest_upset", "sudden_trend", "new_advertisers", "slow_conversions", "broken_column"]

_TREND = 2.5
"""What a sudden trend adds to the logit of everybody's interest in it."""
_SLOWER = 3.0
"""How much later conversions become known when they are slow."""


class Scenario:
    """A quiet world: no hook does anything.

    Args:
        chance: the world's randomness.
        day: number of the first day on which something is different.
    """

    def __init__(self, chance: Chance, day: int) -> None:
        self.rng, self.day = chance.of(Stage.SCENARIO), day

    def wake(self, day: int, population: Population) -> None:
        """Change the people, before they live through `day`."""

    def catalogue(self, catalogue: Catalogue, settings: WorldSettings) -> Catalogue:
        """The advertisers and ads of the world, those included that enter because of the scenario."""
        return catalogue

    def slower(self, day: int) -> float:
        """What the time until a conversion is known is multiplied with."""
        return 1.0

    def deliver(self, day: int, table: str, rows: pa.Table) -> pa.Table:
        """The rows of a table as the upstream export delivers them."""
        return rows


class InterestUpset(Scenario):
    """Tastes are reassigned: what was liked most is now something else, the same for everybody."""

    def wake(self, day: int, population: Population) -> None:
        if day == self.day:
            population.upset(derangement(population.interest.shape[1], self.rng))


class SuddenTrend(Scenario):
    """One subvertical of middling size, the same for everybody, becomes what many talk about and want."""

    def wake(self, day: int, population: Population) -> None:
        if day == self.day:
            middling = np.argsort(population.catalogue.rate, kind="stable")[len(population.catalogue.rate) // 2 :]
            population.trend[self.rng.choice(middling)] = _TREND


class NewAdvertisers(Scenario):
    """Advertisers nobody has met enter at once."""

    def catalogue(self, catalogue: Catalogue, settings: WorldSettings) -> Catalogue:
        from ml.world.newcomers import with_newcomers

        return with_newcomers(catalogue, settings, self.rng)


class SlowConversions(Scenario):
    """Conversions become known later, as when a partner changes its pipeline; still within the week."""

    def slower(self, day: int) -> float:
        return _SLOWER if day >= self.day else 1.0


class BrokenColumn(Scenario):
    """From its day on no advertiser of an activity row can be found in the register."""

    def deliver(self, day: int, table: str, rows: pa.Table) -> pa.Table:
        if table != "activity" or day < self.day:
            return rows
        broken = pc.replace_substring(rows["advertiser_id"], "adv", "ADV-")
        return rows.set_column(rows.schema.get_field_index("advertiser_id"), "advertiser_id", broken)


SCENARIOS: dict[ScenarioName, type[Scenario]] = {
    "none": Scenario,
    "interest_upset": InterestUpset,
    "sudden_trend": SuddenTrend,
    "new_advertisers": NewAdvertisers,
    "slow_conversions": SlowConversions,
    "broken_column": BrokenColumn,
}


def derangement(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) a permutation that leaves nothing where it was: one cycle through all of 0..n-1 in random order."""
    order = rng.permutation(n)
    found = np.empty(n, dtype=np.int64)
    found[order] = np.roll(order, -1)
    return found
