"""Policies: which ads a platform proposes to an auction, and how likely it thinks a click on each.

    LoggingPolicy()                                  what wrote the logs: recent logged interest, quality, some noise
    PriorPolicy(frozen, quota=4, weight=0.5)         ... with ads and a score term of advertisers predicted per user
    ScoredPolicy(lambda ask, ads: log_rates)         anybody's scores, such as a ranker's
    RandomPolicy()                                   scores that mean nothing
    SplitPolicy(a, b, in_b)                          one policy for some users, another one for the others

A policy is given what a platform knows: requests, logged activity, ads and their quality. It is never given a latent.
The draws it uses belong to (request, ad), so two policies that agree on an ad give it the same score to the last bit.
It does not know bids, budgets or caps: `ml.world.market` applies these, the same for every policy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ml.world.ad_index import AdIndex
from ml.world.catalogue import Catalogue
from ml.world.clock import Chance, Stage
from ml.world.draws import Keys, key, normal

USUAL_CLICK_RATE = 0.02
"""Clicks an impression at the top that the platform expects of an ad of average quality and no known interest."""
_ON_PAGE = 1.2
_FIT, _QUALITY, _NOISE = 0.6, 0.5, 0.4


@dataclass(frozen=True)
class Ask:
    """Requests (n) of a block, with what the platform knows of them.

    Attributes:
        day: day number; catalogue, index: advertisers and ads, and which of them are active.
        chance: for draws of a policy's own, by `keys`.
        user: (n,) number in the whole world; page: (n,) subvertical of the page, -1 at home.
        key: (n,) uint64, the request's own.
        local: (n,) row of the user in `fit`.
        fit: (users, S + 1) float32 log(1 + logged activity of late); the last column is 0.
    """

    day: int
    catalogue: Catalogue
    index: AdIndex
    chance: Chance
    user: np.ndarray
    page: np.ndarray
    key: Keys
    local: np.ndarray
    fit: np.ndarray

    def take(self, rows: np.ndarray) -> Ask:
        """Some of the requests."""
        some = {name: getattr(self, name)[rows] for name in ("user", "page", "key", "local")}
        return replace(self, **some)


class Policy(Protocol):
    """One arm."""

    def propose(self, ask: Ask) -> np.ndarray:
        """(n, X) further ads to consider beside those that everybody's retrieval draws, -1 for none; X may be 0."""

    def log_rate(self, ask: Ask, ads: np.ndarray) -> np.ndarray:
        """(n, K) float32 log of the expected clicks an impression at the top place, for ads (n, K)."""


class LoggingPolicy:
    """The policy that wrote the logs."""

    def propose(self, ask: Ask) -> np.ndarray:
        """Nothing."""
        return np.zeros((len(ask.user), 0), dtype=np.int64)

    def log_rate(self, ask: Ask, ads: np.ndarray) -> np.ndarray:
        """Interest shown by logged activity, the page's subject, the ad's quality, and an error of its own."""
        catalogue = ask.catalogue
        sub = catalogue.ad_sub[ads]
        score: np.ndarray = _FIT * ask.fit[ask.local[:, None], sub]
        score += np.float32(_FIT * _ON_PAGE) * (sub == ask.page[:, None])
        score += np.float32(_QUALITY) * catalogue.ad_quality32[ads]
        score += np.float32(_NOISE) * normal(_pair(ask, ads))
        return score + np.float32(np.log(USUAL_CLICK_RATE))


class RandomPolicy(LoggingPolicy):
    """Scores of the same spread that have nothing to do with anything."""

    def log_rate(self, ask: Ask, ads: np.ndarray) -> np.ndarray:
        """Noise."""
        noise: np.ndarray = np.log(USUAL_CLICK_RATE) + 0.7 * normal(_pair(ask, ads), 1)
        return noise.astype(np.float32)


@dataclass(frozen=True)
class ScoredPolicy(LoggingPolicy):
    """The logging policy's candidates under somebody else's scores: `score(ask, ads)` gives `log_rate`."""

    score: Callable[[Ask, np.ndarray], np.ndarray]

    def log_rate(self, ask: Ask, ads: np.ndarray) -> np.ndarray:
        """What `score` says."""
        return self.score(ask, ads).astype(np.float32)


@dataclass(frozen=True)
class Predictions:
    """A frozen table: per user the predicted advertisers, most likely first, as aligned matrices.

    Attributes:
        users: (n,) user numbers, sorted.
        advertisers: (n, k) advertiser numbers, -1 where there are fewer than k.
        probability: (n, k) P(advertiser | the user converts), 0 where there is none.
    """

    users: np.ndarray
    advertisers: np.ndarray
    probability: np.ndarray

    @classmethod
    def of(cls, user: np.ndarray, advertiser: np.ndarray, probability: np.ndarray) -> Predictions:
        """From rows in any order, as a table of predictions has them."""
        order = np.lexsort((advertiser, -probability, user))
        users, row = np.unique(user[order], return_inverse=True)
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        shape = (len(users), int(rank.max(initial=-1)) + 1)
        advertisers, found = np.full(shape, -1), np.zeros(shape)
        advertisers[row, rank], found[row, rank] = advertiser[order], probability[order]
        return cls(users, advertisers, found)

    def rows(self, users: np.ndarray) -> np.ndarray:
        """(n,) row of each user, -1 without predictions."""
        if not len(self.users):
            return np.full(len(users), -1)
        at = np.minimum(np.searchsorted(self.users, users), len(self.users) - 1)
        return np.where(self.users[at] == users, at, -1)


@dataclass(frozen=True)
class PriorPolicy(LoggingPolicy):
    """The logging policy with predictions: `quota` more candidates a request, and a term in the score.

    The term is weight x log(p / share), where p is the predicted probability and share the advertiser's part of all
    conversions, at least 0: what the prediction says beyond popularity. Advertisers that are not predicted keep their
    score, and users without predictions keep everything.
    """

    predictions: Predictions
    quota: int = 4
    weight: float = 0.5

    def propose(self, ask: Ask) -> np.ndarray:
        """An ad of each of the user's `quota` likeliest advertisers that are active."""
        row = self.predictions.rows(ask.user)
        advertisers = self.predictions.advertisers[:, : self.quota]
        if not advertisers.size:
            return super().propose(ask)
        some = np.where(row[:, None] >= 0, advertisers[np.maximum(row, 0)], -1)
        there = (some >= 0) & ask.catalogue.active(ask.day)[some]
        keys = ask.chance.keys(Stage.CANDIDATES, ask.key[:, None], -1 - some)
        return np.where(there, ask.index.of(np.maximum(some, 0), keys), -1)

    def log_rate(self, ask: Ask, ads: np.ndarray) -> np.ndarray:
        """The logging policy's, and the term."""
        score = super().log_rate(ask, ads)
        row = self.predictions.rows(ask.user)
        known = np.flatnonzero(row >= 0)
        advertisers, chances = self.predictions.advertisers[row[known]], self.predictions.probability[row[known]]
        owner = ask.catalogue.ad_advertiser[ads[known]]
        term = np.zeros(owner.shape)
        for rank in range(advertisers.shape[1]):
            lift = np.log(np.maximum(chances[:, rank], 1e-9) / ask.catalogue.demand[advertisers[:, rank]])
            term += (owner == advertisers[:, rank, None]) * np.maximum(lift, 0.0)[:, None]
        score[known] += (self.weight * term).astype(np.float32)
        return score


@dataclass(frozen=True)
class SplitPolicy:
    """Policy `b` for users where `in_b` (by number in the whole world), `a` for the others."""

    a: Policy
    b: Policy
    in_b: np.ndarray

    def propose(self, ask: Ask) -> np.ndarray:
        """Each user's own policy's."""
        parts = [(rows, policy.propose(ask.take(rows))) for rows, policy in self._sides(ask)]
        found = np.full((len(ask.user), max(part.shape[1] for _, part in parts)), -1)
        for rows, part in parts:
            found[rows, : part.shape[1]] = part
        return found

    def log_rate(self, ask: Ask, ads: np.ndarray) -> np.ndarray:
        """Each user's own policy's."""
        found = np.zeros(ads.shape, dtype=np.float32)
        for rows, policy in self._sides(ask):
            found[rows] = policy.log_rate(ask.take(rows), ads[rows])
        return found

    def _sides(self, ask: Ask) -> list[tuple[np.ndarray, Policy]]:
        b = self.in_b[ask.user]
        return [(np.flatnonzero(~b), self.a), (np.flatnonzero(b), self.b)]


def _pair(ask: Ask, ads: np.ndarray) -> Keys:
    """(n, K) keys of (request, ad)."""
    return key(ask.key[:, None] ^ np.uint64(Stage.AUCTION), ads)
