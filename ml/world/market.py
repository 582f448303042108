"""The ad market of a day, block of hours by block: requests, candidates, who takes part, what is shown.

A request's candidates are drawn by recently logged interest (or what the page is about), by popularity and at random,
and a policy may add its own. Taking part is then refused to candidates whose advertiser sits this auction out to pace
its budget, has used its budget up, or has been shown to the user as often as the frequency cap allows; the ad server
looks at the cap again when it serves, and a place lost that way stays empty. The rest is `ml.world.auction`. A small
random slice of requests ranks its bidders uniformly at random: its propensity, 1 / bidders, is known and logged.

It never reads a latent: only logged activity, and what advertisers and their ads are known for. Whether a shown ad is
clicked is decided in `response`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ml.world.ad_index import AdIndex
from ml.world.auction import POSITION_DECAY, run_auctions
from ml.world.budgets import MICROS
from ml.world.catalogue import Catalogue
from ml.world.clock import DAY, Chance, Stage, times_of_day
from ml.world.draws import normal, uniform, uniform32
from ml.world.intents import SEARCH, VISIT
from ml.world.policies import Ask, Policy
from ml.world.pool import Rows, stack, take
from ml.world.population import Population

SURFACES = ("home", "search", "related")
HOME, ON_SEARCH, RELATED = 0, 1, 2
_PLACES = np.array([3, 2, 2])
"""Ads shown per request, by surface."""
_DRAWN, _POPULAR = 20, 17
"""Candidates drawn a request, and how many of them by popularity, among all or what interests; the rest at random."""
_INTERESTING = np.array([10, 13, 13])
"""Of these, candidates by recent interest (or what the page is about), by surface."""
_RECENT = 4
"""Subverticals that a request at home draws from the user's recent interest."""
_SEEN_LEFT = 0.8
"""Share of yesterday's observed interest that is left today."""
_BID_NOISE = 0.25
_CHUNK = 2048
"""Requests at a time: their candidates fit into a processor's cache."""


@dataclass
class Market:
    """Shows ads to the users of a shard; remembers only what the platform has logged."""

    population: Population
    chance: Chance
    seen: np.ndarray = field(init=False)
    """(U, S) logged activity of each user in each subvertical, fading."""
    _fit: np.ndarray = field(init=False)
    _recent: np.ndarray = field(init=False)
    """(U, S) float32 cumulated shares of what each user was seen at; above 1 nowhere, 0 for users seen at nothing."""
    _index: AdIndex | None = None
    _index_day: int = 0
    _today: np.ndarray = field(init=False)
    """Pairs (user and advertiser as one number) of today's impressions, sorted; as often as they were shown."""
    _upto: int = 0
    """Impressions of today so far."""

    def __post_init__(self) -> None:
        self.seen = np.zeros(self.population.interest.shape)
        self._look()

    @property
    def catalogue(self) -> Catalogue:
        return self.population.catalogue

    def observe(self, activity: Rows) -> None:
        """Take a day's logged activity in, for the requests of the days after."""
        self.seen *= _SEEN_LEFT
        known = activity["sub"] >= 0
        np.add.at(self.seen, (activity["user"][known], activity["sub"][known]), 1.0)
        self._look()

    def requests(self, day: int, activity: Rows) -> Rows:
        """Ad requests of a day in time order: request (number), key, user, time, surface, sub (page's, -1 at home)."""
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
        found = take(found, np.lexsort((found["surface"], found["user"], found["time"])))
        number = nth_of_its_kind(found["user"])
        found["key"] = self.chance.keys(Stage.REQUESTS, day, people.first + found["user"], number)
        found["request"] = np.arange(len(number))
        self._today, self._upto = np.zeros(0, dtype=np.int64), 0
        return found

    def impressions(
        self, day: int, requests: Rows, policy: Policy, participation: np.ndarray, market_of: np.ndarray
    ) -> Rows:
        """Shown ads of a block by time, one place of a request after the other.

        Columns: request, key, user, time, surface, place, ad, advertiser, bid (dollars a click), price (millionths of a
        dollar), propensity (NaN outside the random slice), impression (number on the day).

        Args:
            requests: those of the block.
            participation: (M, A) probability of each advertiser's taking part, by market.
            market_of: (U,) market of each user.
        """
        if self._index is None or (self._index_day != day and self._changed(day)):
            self._index = AdIndex(self.catalogue, day)
        self._index_day = day
        n = len(requests["user"])
        parts = [
            self._shown(day, take(requests, slice(first, first + _CHUNK)), policy, participation, market_of)
            for first in range(0, max(n, 1), _CHUNK)
        ]
        shown = self._serve(stack(*parts))
        decayed = POSITION_DECAY ** shown["place"] * shown.pop("next_value")
        shown["price"] = np.round(decayed * MICROS).astype(np.int64)
        shown["impression"] = self._upto + np.arange(len(shown["user"]))
        self._upto += len(shown["user"])
        return shown

    def _look(self) -> None:
        """What the requests of a day need of `seen`, computed once."""
        users, subs = self.seen.shape
        self._fit = np.zeros((users, subs + 1), dtype=np.float32)
        np.log1p(self.seen, out=self._fit[:, :-1], casting="same_kind")
        total = self.seen.sum(axis=1, keepdims=True)
        cumulated = np.cumsum(self.seen, axis=1) / np.where(total > 0.05, total, 1.0)
        self._recent = np.where(total > 0.05, cumulated, 0.0).astype(np.float32)

    def _changed(self, day: int) -> bool:
        """Other advertisers are active than when the index was made."""
        active = self.catalogue.active
        return bool((active(day) != active(self._index_day)).any())

    def _shown(
        self, day: int, requests: Rows, policy: Policy, participation: np.ndarray, market_of: np.ndarray
    ) -> Rows:
        """Winners of some requests, before the ad server's own look at the cap."""
        assert self._index is not None
        catalogue, user, key = self.catalogue, requests["user"], requests["key"]
        everywhere = self.population.first + user
        ask = Ask(day, catalogue, self._index, self.chance, everywhere, requests["sub"], key, user, self._fit)
        ads = self._candidates(ask, requests["surface"])
        further = policy.propose(ask)
        if further.shape[1]:
            ads = np.hstack([ads, further])
        advertiser = catalogue.ad_advertiser[ads]
        keys = self.chance.keys(Stage.PARTICIPATION, key[:, None], advertiser)
        log_bid = catalogue.log_bid32[advertiser] + np.float32(_BID_NOISE) * normal(keys)
        value = log_bid + policy.log_rate(ask, ads)
        chances = participation[market_of[user]][np.arange(len(user))[:, None], advertiser]
        value[(uniform32(keys) >= chances) | (ads < 0)] = -np.inf
        self._keep_caps(user, advertiser, value)
        explored = uniform(self.chance.keys(Stage.EXPLORATION, key)) < self.population.settings.explored_share
        reserve = self.population.settings.reserve_cpm / 1000
        luck = self.chance.keys(Stage.EXPLORATION, key[:, None], advertiser) if explored.any() else keys
        won = run_auctions(value, advertiser, _PLACES[requests["surface"]], reserve, explored, luck)
        row, ad = won.row, ads[won.row, won.slot]
        return {
            **{name: requests[name][row] for name in ("request", "key", "user", "time", "surface")},
            "place": won.place, "ad": ad, "advertiser": catalogue.ad_advertiser[ad],
            "bid": np.exp(log_bid[row, won.slot].astype(np.float64)), "next_value": won.next_value,
            "propensity": np.where(explored[row], 1 / np.maximum(won.bidders[row], 1), np.nan),
        }  # fmt: skip

    def _candidates(self, ask: Ask, surface: np.ndarray) -> np.ndarray:
        """(n, _DRAWN) active ads."""
        column = np.arange(_DRAWN)
        keys = self.chance.keys(Stage.CANDIDATES, ask.key[:, None], column)
        wanted = np.repeat(ask.page[:, None], _RECENT, axis=1)
        home = np.flatnonzero(ask.page < 0)
        drawn = uniform32(self.chance.keys(Stage.CANDIDATES, ask.key[home, None], -1 - column[:_RECENT]))
        recent = self._recent[ask.local[home]]
        sub = (recent[:, None, :] <= drawn[:, :, None]).sum(axis=2)
        wanted[home] = np.where(sub < recent.shape[1], sub, ask.index.everything)
        by_interest = column[:_POPULAR] < _INTERESTING[surface][:, None]
        groups = np.where(by_interest, wanted[:, column[:_POPULAR] % _RECENT], ask.index.everything)
        found = np.empty(keys.shape, dtype=np.int64)
        found[:, :_POPULAR] = ask.index.popular(groups, keys[:, :_POPULAR])
        found[:, _POPULAR:] = ask.index.any(keys[:, _POPULAR:])
        return found

    def _keep_caps(self, user: np.ndarray, advertiser: np.ndarray, value: np.ndarray) -> None:
        """Refuse candidates whose advertiser the user has been shown often enough today."""
        cap, many = self.population.settings.frequency_cap, len(self.catalogue.names)
        last = self._today[cap - 1 :]
        full = last[last == self._today[: len(last)]]
        if not len(full):
            return
        rows = np.flatnonzero(np.isin(user, full // many))
        value[rows] = np.where(np.isin(user[rows, None] * many + advertiser[rows], full), -np.inf, value[rows])

    def _serve(self, won: Rows) -> Rows:
        """Leave out what would pass the frequency cap, and move the request's later ads up."""
        pair = won["user"] * len(self.catalogue.names) + won["advertiser"]
        before = np.searchsorted(self._today, pair, side="right") - np.searchsorted(self._today, pair, side="left")
        kept = before + nth_of_its_kind(pair) < self.population.settings.frequency_cap
        served = take(won, kept)
        place = nth_of_its_kind(served["request"])
        served["propensity"] = np.where(place == served["place"], served["propensity"], np.nan)
        served["place"] = place
        self._today = np.sort(np.concatenate([self._today, pair[kept]]))
        return served


def nth_of_its_kind(kinds: np.ndarray) -> np.ndarray:
    """(n,) how many equal ones stand before each."""
    order = np.argsort(kinds, kind="stable")
    ordered = kinds[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    found = np.empty(len(kinds), dtype=np.int64)
    found[order] = np.arange(len(kinds)) - np.repeat(begins, np.diff(begins, append=len(kinds)))
    return found
