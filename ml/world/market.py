"""The ad market of a day: requests, who bids, what is shown, what is clicked.

The logging policy knows what an ads team knows: the activity it has logged, ads' popularity and quality.
It never reads a latent. Candidates are drawn by recent interest, by popularity and at random; the
highest bid x score wins, and pays what the next one would have had to bid (a generalised second price).
Whether a shown ad is clicked depends on position, quality, interest and intent. Budgets, pacing and
reserve prices are not part of this world yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.world.catalogue import Catalogue
from ml.world.clock import DAY, Chance, Stage, times_of_day
from ml.world.intents import SEARCH, VISIT, Intents
from ml.world.pool import Rows, choose, stack, take
from ml.world.population import Population

SURFACES = ("home", "search", "related")
HOME, ON_SEARCH, RELATED = 0, 1, 2
_SLOTS = np.array([3, 2, 2])
_MIX = np.array([[7, 4, 3], [9, 3, 2], [9, 3, 2]])
"""Candidates by recent interest (or context), by popularity, at random; per surface."""
_POSITION_DECAY = 0.65
"""A slot is looked at this much as often as the one above it."""
_SEEN_LEFT = 0.8
"""Share of yesterday's observed interest that is left today."""


@dataclass
class Market:
    """Shows ads; remembers only what the platform has logged."""

    population: Population
    intents: Intents
    chance: Chance

    def __post_init__(self) -> None:
        self.seen = np.zeros(self.population.interest.shape)
        """(U, S) logged activity of each user in each subvertical, fading."""

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
        order = _ranked(score * bid, adv)
        ads, score, bid = (np.take_along_axis(x, order, axis=1) for x in (ads, score, bid))
        adv = np.take_along_axis(adv, order, axis=1)
        value = score * bid
        slots = _SLOTS[requests["surface"]]
        row, position = np.nonzero(np.arange(_SLOTS.max()) < slots[:, None])
        distinct = np.array([adv[:, p, None] != adv[:, :p] for p in range(1)] + [])  # placeholder replaced below
        del distinct
        price = np.minimum(bid[row, position], value[row, position + 1] / score[row, position])
        return {
            "request": row, "user": requests["user"][row], "time": requests["time"][row],
            "surface": requests["surface"][row], "position": position, "ad": ads[row, position],
            "bid": np.round(bid[row, position], 4), "price_paid": np.round(price, 4),
        }  # fmt: skip
