"""The ad market of a day: requests, who bids, what is shown at which price.

The logging policy knows what an ads team knows: the activity it has logged, popularity and quality of
ads. It never reads a latent. Candidates are drawn by recent interest, by popularity and at random; the
highest bid x score wins, and pays what it took to beat the next one (a generalised second price). An
advertiser is shown at most once a request. Budgets, pacing and reserve prices are not part of this
world yet; whether a shown ad is clicked is decided in `response`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ml.world.catalogue import Catalogue
from ml.world.clock import DAY, Chance, Stage, times_of_day
from ml.world.intents import SEARCH, VISIT
from ml.world.pool import Rows, choose, stack, take
from ml.world.population import Population

SURFACES = ("home", "search", "related")
HOME, ON_SEARCH, RELATED = 0, 1, 2
_SLOTS = np.array([3, 2, 2])
"""Ads shown per request, by surface."""
_DRAWN = 14
"""Candidates a request."""
_INTERESTING, _POPULAR = np.array([7, 10, 10]), np.array([11, 12, 12])
"""Candidates before the first number are drawn by recent interest (or what the page is about), those
before the second by popularity, the rest at random; by surface."""
_SEEN_LEFT = 0.8
"""Share of yesterday's observed interest that is left today."""


@dataclass
class Market:
    """Shows ads; remembers only what the platform has logged."""

    population: Population
    chance: Chance
    seen: np.ndarray = field(init=False)
    """(U, S) logged activity of each user in each subvertical, fading."""

    def __post_init__(self) -> None:
        self.seen = np.zeros(self.population.interest.shape)

    @property
    def catalogue(self) -> Catalogue:
        return self.population.catalogue

    def observe(self, activity: Rows) -> None:
        """Take a day's logged activity in, for the requests of the days after."""
        self.seen *= _SEEN_LEFT
        known = activity["sub"] >= 0
        np.add.at(self.seen, (activity["user"][known], activity["sub"][known]), 1.0)

    def requests(self, day: int, activity: Rows) -> Rows:
        """Ad requests in time order: user, time, surface, sub (what the page is about, -1 at home)."""
        rng = self.chance.of(Stage.REQUESTS, day)
        people = self.population
        visits = rng.poisson(people.settings.sessions_per_day * np.sqrt(people.level))
        user = np.repeat(np.arange(len(visits)), visits)
        n = len(user)
        home: Rows = {
            "user": user, "time": day * DAY + times_of_day(n, rng),
            "surface": np.full(n, HOME), "sub": np.full(n, -1),
        }  # fmt: skip
        asked = take(activity, (activity["sub"] >= 0) & np.isin(activity["kind"], (SEARCH, VISIT)))
        page: Rows = {
            "user": asked["user"], "time": np.minimum(asked["time"] + 1, (day + 1) * DAY - 1),
            "surface": np.where(asked["kind"] == SEARCH, ON_SEARCH, RELATED), "sub": asked["sub"],
        }  # fmt: skip
        found = stack(home, page)
        return take(found, np.lexsort((found["surface"], found["user"], found["time"])))

    def impressions(self, day: int, requests: Rows) -> Rows:
        """Shown ads by time: request, user, time, surface, position, ad, bid and price_paid (dollars)."""
        rng = self.chance.of(Stage.AUCTION, day)
        ads = self._candidates(requests, day, rng)
        adv = self.catalogue.ad_advertiser[ads]
        sub = self.catalogue.sub[adv]
        fits = np.log1p(self.seen[requests["user"][:, None], sub]) + 1.2 * (sub == requests["sub"][:, None])
        score = np.exp(0.6 * fits + 0.5 * self.catalogue.ad_quality[ads] + rng.normal(0, 0.4, ads.shape))
        bid = self.catalogue.bid[adv] * np.exp(rng.normal(0, 0.25, ads.shape))
        value = _once_each(score * bid, adv)
        order = np.argsort(-value, axis=1, kind="stable")
        value, score, bid, ads = (np.take_along_axis(x, order, axis=1) for x in (value, score, bid, ads))
        places = np.arange(_SLOTS.max())
        row, position = np.nonzero((places < _SLOTS[requests["surface"]][:, None]) & (value[:, places] > 0))
        beaten = value[row, position + 1] / score[row, position]
        return {
            "request": row, "user": requests["user"][row], "time": requests["time"][row],
            "surface": requests["surface"][row], "position": position, "ad": ads[row, position],
            "bid": np.round(bid[row, position], 4), "price_paid": np.round(beaten, 4),
        }  # fmt: skip

    def _candidates(self, requests: Rows, day: int, rng: np.random.Generator) -> np.ndarray:
        """(requests, _DRAWN) active ads."""
        catalogue, n = self.catalogue, len(requests["user"])
        active = catalogue.active(day)[catalogue.ad_advertiser]
        by_sub = np.argsort(catalogue.sub[catalogue.ad_advertiser], kind="stable")
        popularity = (catalogue.ad_popularity * active)[by_sub]
        upto = np.concatenate([[0.0], np.cumsum(popularity)])
        bounds = upto[
            np.searchsorted(catalogue.sub[catalogue.ad_advertiser][by_sub], np.arange(self.seen.shape[1] + 1))
        ]
        wanted = self._wanted(requests, rng)
        place = np.arange(_DRAWN)
        interesting = (place < _INTERESTING[requests["surface"]][:, None]) & (wanted >= 0)
        low = np.where(interesting, bounds[wanted], 0.0)
        high = np.where(interesting, bounds[wanted + 1], upto[-1])
        drawn = np.searchsorted(upto, low + rng.random((n, _DRAWN)) * (high - low), side="right") - 1
        found = by_sub[np.minimum(drawn, len(by_sub) - 1)]
        anything = rng.choice(np.flatnonzero(active), (n, _DRAWN))
        return np.where(place < _POPULAR[requests["surface"]][:, None], found, anything)

    def _wanted(self, requests: Rows, rng: np.random.Generator) -> np.ndarray:
        """(requests, _DRAWN) a subvertical to draw from: the page's own, one seen lately, or -1."""
        wanted = np.repeat(requests["sub"][:, None], _DRAWN, axis=1)
        seen = self.seen[requests["user"]]
        lately = np.flatnonzero((requests["sub"] < 0) & (seen.sum(axis=1) > 0.05))
        row = np.repeat(lately, _DRAWN)
        wanted[lately] = choose(seen[row], rng).reshape(-1, _DRAWN)
        return wanted


def _once_each(value: np.ndarray, advertiser: np.ndarray) -> np.ndarray:
    """`value`, with 0 for all but the most valuable candidate of each advertiser in a row."""
    order = np.argsort(-value, axis=1, kind="stable")
    ranked = np.take_along_axis(advertiser, order, axis=1)
    before = np.tri(ranked.shape[1], k=-1, dtype=bool)
    again = ((ranked[:, :, None] == ranked[:, None, :]) & before).any(axis=2)
    found = value.copy()
    np.put_along_axis(found, order, np.where(again, 0.0, np.take_along_axis(value, order, axis=1)), axis=1)
    return found
