"""The people of a world: profiles, consent, habits, and the interests nobody logs.

A user's interest in the subverticals is a softmax of base rate, age and gender tilts, a taste for
verticals, a few strong likings, the season and a slow drift (an Ornstein-Uhlenbeck walk); life events
(`ml.world.events`) lift their subverticals for some weeks. Which brand of a subvertical a user prefers
follows from its strength, from liking, which is fixed, from its price for users who mind prices, and from
remembered conversions, more so for loyal users. What is kept grows with users and with what they did, not
with users x advertisers. It does not know ads or searches.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from ml.world.catalogue import STYLES, Catalogue
from ml.world.clock import DAY, Chance, Stage
from ml.world.draws import key, normal
from ml.world.events import LifeEvents
from ml.world.memory import PairMemory
from ml.world.settings import WorldSettings

AGES = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
_AGE_SHARES = (0.16, 0.24, 0.2, 0.16, 0.14, 0.1)
_GENDERS = ("female", "male")
_NULLS = {"age_bucket": 0.08, "gender": 0.06, "region": 0.03}
"""Share of users whose field is unknown."""
STATES = {
    "California": 39, "Texas": 30, "Florida": 22, "New York": 20, "Pennsylvania": 13, "Illinois": 13, "Ohio": 12,
    "Georgia": 11, "North Carolina": 11, "Michigan": 10, "New Jersey": 9, "Virginia": 9, "Washington": 8,
    "Arizona": 7, "Massachusetts": 7, "Tennessee": 7, "Indiana": 7, "Maryland": 6, "Missouri": 6, "Wisconsin": 6,
    "Colorado": 6, "Minnesota": 6, "South Carolina": 5, "Alabama": 5, "Louisiana": 5, "Kentucky": 5, "Oregon": 4,
    "Oklahoma": 4, "Connecticut": 4, "Utah": 3, "Iowa": 3, "Nevada": 3, "Kansas": 3, "New Mexico": 2, "Nebraska": 2,
}  # fmt: skip
"""Where users live: states and their weight, in millions of people."""
_FAVOURITES, _FAVOURED = 4, 1.6
"""Subverticals a user likes best, and what that adds to their logits (in a world of 40 subverticals)."""
_DRIFT, _REVERSION = 0.7, 1 / 45
"""Spread of the drift (logit), and the share of it that a day takes back."""
_LIKING = 0.5
"""Standard deviation (logit) of each of the two halves of liking: shared between similar users, and one's own."""
_LOYALTY_SPREAD, _PRICE_SPREAD = 0.5, 0.6
"""Spread (standard deviation of the log) of the habits over users."""
_MEMORY = 0.985
"""Share of a remembered conversion that is left a day later."""
_WITHDRAWN, _MOVED = 0.01, 0.02
"""Share of users who withdraw consent, or move to another state, in 60 days."""


class Population:
    """State of all users (U) of a shard on the current day; `live` moves it on by a day.

    Args:
        settings: the world; `users` is the number of people here.
        first: number of the first of them in the whole world.
    """

    def __init__(self, settings: WorldSettings, catalogue: Catalogue, chance: Chance, first: int = 0) -> None:
        rng = chance.of(Stage.POPULATION)
        n, s = settings.users, len(catalogue.subverticals)
        self.settings, self.catalogue, self._chance, self.first = settings, catalogue, chance, first
        self.ids = [f"u{i:05d}" for i in range(first, first + n)]
        self.profile = self._profiles(rng)
        self.level = rng.gamma(6.0, 1 / 6.0, n)
        """(U,) how much each user does, 1 on average."""
        self.loyalty = settings.loyalty * _spread(_LOYALTY_SPREAD, n, rng)
        """(U,) logit that each remembered conversion adds to its advertiser, up to two of them."""
        self.price_sensitivity = settings.price_sensitivity * _spread(_PRICE_SPREAD, n, rng)
        """(U,) logit that an advertiser loses per e-fold of its price level."""
        self._style = rng.standard_normal((n, STYLES), dtype=np.float32)
        self._taste = self._tastes(rng)
        self._drift = _DRIFT * rng.standard_normal((n, s), dtype=np.float32)
        self._changes = self._later_changes(chance.of(Stage.CHANGES))
        self.events = LifeEvents(catalogue.subverticals, settings.life_events_per_user)
        self.bought = PairMemory(len(catalogue.names), _MEMORY)
        """Conversions as the users remember them."""
        self.trend = np.zeros(s, dtype=np.float32)
        """(S,) what a fashion adds to everybody's logits."""
        self.interest = self._interests(-settings.warm_up_days)
        """(U, S) float32 P(subvertical | the user wants something today)."""

    def live(self, day: int) -> None:
        """Interests drift, life events begin and end, memories fade."""
        rng = self._chance.of(Stage.INTERESTS, day)
        walk = rng.standard_normal(self._drift.shape, dtype=np.float32)
        self._drift += -_REVERSION * self._drift + np.float32(_DRIFT * np.sqrt(2 * _REVERSION)) * walk
        self.events.live(day, self._age, rng)
        self.bought.fade()
        self.interest = self._interests(day)

    def upset(self, moved_to: np.ndarray) -> None:
        """Move everybody's taste and drift for subvertical s to subvertical moved_to[s]."""
        for latent in (self._taste, self._drift):
            latent[:, moved_to] = latent.copy()

    def remember(self, users: np.ndarray, advertisers: np.ndarray) -> None:
        """Conversions of the day, which make the next with the same advertiser likelier."""
        self.bought.add(users, advertisers, 1.0)

    def liking(self, users: np.ndarray, advertisers: np.ndarray) -> np.ndarray:
        """Fixed liking of brands (logit), for pairs of any shape by broadcasting.

        Half of its variance is a product of rank STYLES, so that people who like one brand like certain others;
        the other half is the pair's own, drawn by a hash of it. Neither is stored by pair.
        """
        shared = (self._style[users] * self.catalogue.style[advertisers]).sum(axis=-1) / np.float32(np.sqrt(STYLES))
        own = normal(key(self._chance.seed, Stage.POPULATION, self.first + users, advertisers))
        found: np.ndarray = _LIKING * (shared + own)
        return found

    def brand_utility(self, users: np.ndarray, advertisers: np.ndarray) -> np.ndarray:
        """Logit of brands within their subvertical, for pairs of any shape by broadcasting."""
        found: np.ndarray = self.catalogue.brand[advertisers] + self.liking(users, advertisers)
        found = found - self.price_sensitivity[users] * np.log(self.catalogue.price_level)[advertisers]
        found = found + self.loyalty[users] * np.minimum(self.bought.of(users, advertisers), 2.0)
        return found

    def rows(self, day: int, first_day: date) -> pd.DataFrame:
        """Register rows delivered on a day: everybody on day 0, later those whose profile or consent changed."""
        start = np.datetime64(first_day, "s")
        if day == 0:
            frame = self.profile.assign(user_id=self.ids)
            return frame.assign(updated_at=(start + self._joined.astype("timedelta64[s]")).astype("datetime64[us]"))
        today = self._changes[self._changes["day"] == day]
        users = today["user"].to_numpy()
        withdraws = today["region"].isna().to_numpy()
        self.profile.loc[users[withdraws], "consent"] = False
        self.profile.loc[users[~withdraws], "region"] = today["region"].to_numpy()[~withdraws]
        seconds = (day * DAY + today["second"].to_numpy()).astype("timedelta64[s]")
        frame = self.profile.iloc[users].assign(user_id=[self.ids[u] for u in users])
        return frame.assign(updated_at=(start + seconds).astype("datetime64[us]"))

    def _profiles(self, rng: np.random.Generator) -> pd.DataFrame:
        n = self.settings.users
        states = np.array(list(STATES.values()), dtype=np.float64)
        self._age = rng.choice(len(AGES), n, p=_AGE_SHARES)
        self._female = rng.random(n) < 0.5
        profile = pd.DataFrame(
            {
                "age_bucket": np.array(AGES, dtype=object)[self._age],
                "gender": np.where(self._female, *_GENDERS).astype(object),
                "region": rng.choice(np.array(list(STATES), dtype=object), n, p=states / states.sum()),
                "consent": rng.random(n) < self.settings.consent_share,
            },
            dtype=object,
        )
        for name, share in _NULLS.items():
            profile[name] = profile[name].where(rng.random(n) >= share, None)
        self._joined = -rng.integers(DAY, 700 * DAY, n)
        return profile

    def _tastes(self, rng: np.random.Generator) -> np.ndarray:
        """(U, S) the part of the interest logits that does not change."""
        n, subs = self.settings.users, self.catalogue.subverticals
        vertical = pd.factorize(subs["vertical"])[0]
        age = (self._age - 2.0) / 2.0
        gender = np.where(self._female, 1.0, -1.0)
        logits = np.log(self.catalogue.rate) + 0.8 * age[:, None] * subs["age"].to_numpy()
        logits = logits + 0.7 * gender[:, None] * subs["female"].to_numpy()
        logits = logits + rng.normal(0, 0.6, (n, vertical.max() + 1))[:, vertical]
        gumbel = logits + rng.gumbel(size=logits.shape)
        favourites = np.argsort(-gumbel, axis=1)[:, :_FAVOURITES]
        lift = _FAVOURED + max(np.log(len(subs) / 40), 0.0)  # against more others, for the same share of what is wanted
        np.put_along_axis(logits, favourites, np.take_along_axis(logits, favourites, axis=1) + lift, axis=1)
        return np.asarray(logits, dtype=np.float32)

    def _interests(self, day: int) -> np.ndarray:
        logits = self._taste + self._drift + np.log(self.catalogue.season(day)).astype(np.float32) + self.trend
        self.events.lift(day, logits)
        weight = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: np.ndarray = weight / weight.sum(axis=1, keepdims=True)
        return found

    def _later_changes(self, rng: np.random.Generator) -> pd.DataFrame:
        """Who withdraws consent (region None) or moves, and when; at most one change a user."""
        n, days = self.settings.users, self.settings.total_days
        scale = days / 60
        who = rng.permutation(n)
        withdrawn, moved = round(_WITHDRAWN * scale * n), round(_MOVED * scale * n)
        users = who[: withdrawn + moved]
        region = rng.choice(np.array(list(STATES), dtype=object), len(users))
        region[:withdrawn] = None
        changes = {"user": users, "region": region, "day": rng.integers(1, max(days, 2), len(users))}
        return pd.DataFrame({**changes, "second": rng.integers(0, DAY, len(users))}).sort_values("user")


def _spread(sigma: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) log-normal factors with mean 1."""
    found: np.ndarray = np.exp(rng.normal(-0.5 * sigma**2, sigma, n))
    return found
