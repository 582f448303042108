"""Intents: a user starts to want something, looks for it in searches and visits, and converts, or never does.

This is what makes a forecast possible at all: the traces lie before the conversion, some hours to days,
and they say in words what is wanted. It does not know ads: whether a click ends an intent early, and
with whom an intent ends, is decided in `outcomes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ml.world.clock import DAY, HOUR, NEVER, Chance, Stage, times_of_day
from ml.world.pool import Pool, Rows, choose, stack, take
from ml.world.population import Population

SEARCH, VISIT, SAVE = 0, 1, 2
KINDS = ("search", "visit", "save")
_WEEKDAYS = np.array([0.97, 0.95, 0.95, 0.97, 1.02, 1.08, 1.06])
"""How much starts on Monday..Sunday."""
_PER_INTENT = (1.05, 0.65, 0.07)
"""Mean number of searches, visits and saves of an intent."""
_LEAN_VISIT = 0.7
"""Share of an intent's visits that go to the advertiser the user leans to; others compare."""
_MEDIAN_LENGTH = 2.0 * DAY
_COLUMNS = ("user", "sub", "lean", "start", "ends", "converts")
_ACTIVITY = ("user", "kind", "sub", "advertiser", "branded")


@dataclass
class Intents:
    """Open intents: aligned columns user, sub, lean (advertiser), start, ends, converts (time or NEVER)."""

    population: Population
    chance: Chance
    open: Rows = field(default_factory=lambda: {c: np.zeros(0, np.int64) for c in _COLUMNS})
    planned: Pool = field(default_factory=lambda: Pool(*_ACTIVITY))

    def begin(self, day: int) -> None:
        """Start the intents of a day and plan the searches and visits they leave."""
        rng = self.chance.of(Stage.INTENTS, day)
        settings, people = self.population.settings, self.population
        weekday = (settings.first_day.weekday() + day) % 7
        users = _poisson_users(people.level * settings.intents_per_week / 7 * _WEEKDAYS[weekday], rng)
        n = len(users)
        sub = choose(people.interest[users], rng)
        lean = self._brands(users, sub, day, rng)
        start = day * DAY + times_of_day(n, rng)
        length = np.clip(_MEDIAN_LENGTH * np.exp(rng.normal(0, 1.1, n)), HOUR, 12 * DAY).astype(np.int64)
        converts = np.where(rng.random(n) < settings.conversion_share, start + length, NEVER)
        started: Rows = {
            "user": users, "sub": sub, "lean": lean, "start": start, "ends": start + length, "converts": converts
        }  # fmt: skip
        self._plan(started, day, rng)
        self._plan_idle(day, rng)
        self._plan_looking(day, rng)
        self.open = stack(take(self.open, self.open["ends"] >= day * DAY), started)

    def activity(self, day: int) -> Rows:
        """Searches, visits and saves of a day: user, kind, sub (-1: off topic), advertiser (-1: none), time."""
        return self.planned.take_until((day + 1) * DAY)

    def wanting(self, users: np.ndarray, subs: np.ndarray, times: np.ndarray) -> np.ndarray:
        """(n,) number of an open intent of each user for each subvertical at each time, -1 if there is none."""
        if not len(self.open["user"]):
            return np.full(len(users), -1)
        number = np.full(self.population.interest.shape, -1)
        number[self.open["user"], self.open["sub"]] = np.arange(len(self.open["user"]))
        found = number[users, subs]
        intent = np.maximum(found, 0)
        is_on = (self.open["start"][intent] <= times) & (times < self.open["ends"][intent])
        return np.where((found >= 0) & is_on, found, -1)

    def due(self, day: int) -> Rows:
        """Remove and return the intents that convert on a day, with `time` for `converts`."""
        due = self.open["converts"] < (day + 1) * DAY
        found = take(self.open, due)
        self.open = take(self.open, ~due)
        found["time"] = found["converts"]
        return found

    def fulfil(self, intents: np.ndarray) -> None:
        """End some open intents, by number: a click has done it."""
        self.open["converts"][intents] = NEVER
        self.open["ends"][intents] = -NEVER

    def _plan(self, started: Rows, day: int, rng: np.random.Generator) -> None:
        """Traces of new intents, all before their end."""
        brand_share = self.population.settings.brand_query_share
        for kind, mean in enumerate(_PER_INTENT):
            row = np.repeat(np.arange(len(started["user"])), rng.poisson(mean, len(started["user"])))
            start, length = started["start"][row], (started["ends"] - started["start"])[row]
            user, sub, advertiser = started["user"][row], started["sub"][row], started["lean"][row]
            if kind != SEARCH:
                compare = rng.random(len(row)) >= _LEAN_VISIT
                advertiser = np.where(compare, self._brands(user, sub, day, rng), advertiser)
            named = rng.random(len(row)) < brand_share if kind == SEARCH else np.ones(len(row), dtype=bool)
            time = start + (rng.random(len(row)) ** 1.5 * 0.97 * length).astype(np.int64)
            self.planned.add(
                time=time, user=user, kind=np.full(len(row), kind), sub=sub, advertiser=advertiser, branded=named
            )

    def _plan_idle(self, day: int, rng: np.random.Generator) -> None:
        """Searches and visits without an intent behind them; half of the searches are off topic."""
        people = self.population
        user = _poisson_users(people.level * people.settings.idle_per_week / 7, rng)
        n = len(user)
        kind = np.where(rng.random(n) < 0.6, SEARCH, VISIT)
        sub = rng.integers(0, people.interest.shape[1], n)
        sub = np.where((kind == SEARCH) & (rng.random(n) < 0.5), -1, sub)
        time, nobody = day * DAY + times_of_day(n, rng), np.full(n, -1)
        self.planned.add(time=time, user=user, kind=kind, sub=sub, advertiser=nobody, branded=np.zeros(n, dtype=bool))

    def _plan_looking(self, day: int, rng: np.random.Generator) -> None:
        """What users look at after a life event, before they want anything in particular."""
        people = self.population
        user, sub = people.events.looking(day, people.settings.looking_per_day, rng)
        n = len(user)
        kind = np.where(rng.random(n) < 0.6, SEARCH, VISIT)
        advertiser = self._brands(user, sub, day, rng)
        time = day * DAY + times_of_day(n, rng)
        self.planned.add(time=time, user=user, kind=kind, sub=sub, advertiser=advertiser, branded=kind == VISIT)

    def _brands(self, users: np.ndarray, subs: np.ndarray, day: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) an active advertiser of each subvertical, by the user's liking and habits."""
        catalogue = self.population.catalogue
        members = catalogue.members[subs]
        some = np.maximum(members, 0)
        possible = (members >= 0) & catalogue.active(day)[some]
        at = choose(np.exp(self.population.brand_utility(users[:, None], some)) * possible, rng)
        found: np.ndarray = members[np.arange(len(users)), at]
        return found


def _poisson_users(rates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """User numbers, each as often as a Poisson draw of their rate says."""
    found: np.ndarray = np.repeat(np.arange(len(rates)), rng.poisson(rates))
    return found
