"""World time and world chance: whole seconds since the first logged day, and one generator per purpose and day.

Every stage of every day and shard of users draws from a generator of its own, so that a change in one stage leaves
the draws of the others as they were. What follows from ads draws by `Chance.keys` instead: by what a draw is about
(`ml.world.draws`). Times before the first logged day (the warm-up) are negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntEnum

import numpy as np
import pyarrow as pa

from ml.world.draws import Keys, key

DAY = 86_400
HOUR = 3_600
NEVER = 2**60
"""A time that no day reaches."""
_OFFSET = 10_000
"""Added to day numbers, as a spawn key may not be negative and warm-up days are."""

_HOURS = np.array([3, 2, 1, 1, 1, 1, 2, 4, 5, 6, 6, 7, 8, 7, 6, 6, 6, 7, 8, 9, 10, 10, 8, 5], dtype=np.float64)


class Stage(IntEnum):
    """What a generator is for."""

    CATALOGUE = 0
    POPULATION = 1
    CHANGES = 2
    INTERESTS = 3
    INTENTS = 4
    ACTIVITY = 5
    REQUESTS = 6
    AUCTION = 7
    CLICKS = 8
    CONVERSIONS = 9
    TEXT = 10
    SCENARIO = 11
    CANDIDATES = 12
    EXPLORATION = 13
    PARTICIPATION = 14
    FOLLOWING = 15
    CHOICE = 16
    REPORTING = 17
    REPEATS = 18
    VALUES = 19
    MARKETS = 20


@dataclass(frozen=True)
class Chance:
    """All randomness of a world, from one seed; of one shard of its users, if a number is given."""

    seed: int
    shard: int | None = None

    def of(self, stage: Stage, day: int = 0) -> np.random.Generator:
        """The generator of one stage on one day; the same draws whoever asks, and whenever."""
        shard = () if self.shard is None else (self.shard,)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(stage, day + _OFFSET, *shard)))

    def keys(self, stage: Stage, *parts: int | np.ndarray) -> Keys:
        """Keys of draws about something, which no shard and no order of rows changes; parts broadcast."""
        return key(self.seed, stage, *parts)


def traffic(first_hour: int, end_hour: int) -> float:
    """Share of a day's requests at home that come in these hours."""
    return float(_HOURS[first_hour:end_hour].sum() / _HOURS.sum())


def times_of_day(n: int, rng: np.random.Generator) -> np.ndarray:
    """Shape (n,) int64: seconds since midnight, with a peak in the evening."""
    hours = rng.choice(24, size=n, p=_HOURS / _HOURS.sum())
    found: np.ndarray = hours * HOUR + rng.integers(0, HOUR, n)
    return found


def timestamps(seconds: np.ndarray, first_day: date) -> pa.Array:
    """World seconds as Arrow timestamps (UTC, naive, microseconds)."""
    return pa.array(np.datetime64(first_day, "us") + seconds.astype("timedelta64[s]"), type=pa.timestamp("us"))
