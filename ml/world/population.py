"""The people of a world: profiles, consent, and the interests nobody logs.

A user's interest in the subverticals is a softmax of base rate, age and gender tilts, a taste for
verticals, a few strong likings, the season and a slow drift (an Ornstein-Uhlenbeck walk); a life event lifts its
subverticals for some weeks. Liking for single brands is fixed, remembered conversions add to it.
It does not know ads or searches.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from ml.world.catalogue import Catalogue
from ml.world.clock import DAY, Chance, Stage
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
LIFE_EVENTS: dict[str, tuple[str, ...]] = {
    "move": ("moving and storage", "apartments", "furniture", "mattresses", "home internet", "home decor"),
    "home": ("homes for sale", "paint", "home improvement", "electricity plans", "kitchenware"),
    "baby": ("baby gear", "kids clothes", "toys", "child care", "life insurance", "household supplies"),
    "new sport": ("running shoes", "outdoor gear", "bicycles", "sporting goods", "activewear", "fitness classes"),
    "new year": ("gym membership", "vitamins", "salads and bowls", "smoothies"),
    "car": ("new cars", "used cars", "car insurance", "tires", "auto parts"),
    "pet": ("pet supplies", "vet care"),
    "trip": ("hotels", "flights", "car rental", "luggage", "vacation packages", "beach resorts"),
    "wedding": ("jewelry", "womens clothing", "makeup", "fragrance", "spa and beauty", "menswear"),
    "new job": ("casual clothes", "laptops", "phone plans", "bank accounts", "credit cards", "coffee"),
    "school": ("tutoring", "office supplies", "eyeglasses", "books", "online degrees"),
    "retirement": ("cruises", "investing", "hearing aids", "health insurance"),
}
_LIFT = 2.2
"""What a life event adds to the logit of its subverticals."""
_MEMORY = 0.985
"""Share of a remembered conversion that is left a day later."""
_WITHDRAWN, _MOVED = 0.01, 0.02
"""Share of users who withdraw consent, or move to another state, in 60 days."""


class Population:
    """State of all users (U) on the current day; `live` moves it on by a day."""

    def __init__(self, settings: WorldSettings, catalogue: Catalogue, chance: Chance) -> None:
        rng = chance.of(Stage.POPULATION)
        n, s = settings.users, len(catalogue.subverticals)
        self.settings, self.catalogue, self._chance = settings, catalogue, chance
        self.ids = [f"u{i:05d}" for i in range(n)]
        self.profile = self._profiles(rng)
        self.level = rng.gamma(6.0, 1 / 6.0, n)
        """(U,) how much each user does, 1 on average."""
        self._taste = self._tastes(rng)
        self._drift = rng.normal(0, 0.7, (n, s))
        self._changes = self._later_changes(chance.of(Stage.CHANGES))
        self._event = np.zeros((0, 3), dtype=np.int64)
        self.brand_liking = rng.normal(0, 0.7, (n, len(catalogue.names)))
        """(U, A) fixed liking of brands, logit."""
        self.bought = np.zeros((n, len(catalogue.names)))
        """(U, A) conversions as the user remembers them."""
        self.interest = self._interests(-settings.warm_up_days)
        """(U, S) P(subvertical | the user wants something today)."""

    def live(self, day: int) -> None:
        """Interests drift, life events begin and end, memories fade."""
        rng = self._chance.of(Stage.INTERESTS, day)
        theta = 1 / 45
        self._drift += -theta * self._drift + 0.7 * np.sqrt(2 * theta) * rng.normal(size=self._drift.shape)
        begins = np.flatnonzero(rng.random(len(self.ids)) < self.settings.life_events_per_user / 60)
        kinds, lasts = rng.integers(0, len(LIFE_EVENTS), len(begins)), rng.integers(14, 43, len(begins))
        self._event = np.vstack([self._event[self._event[:, 2] > day], np.stack([begins, kinds, day + lasts], axis=1)])
        self.bought *= _MEMORY
        self.interest = self._interests(day)

    def upset(self, moved_to: np.ndarray) -> None:
        """Move everybody's taste and drift for subvertical s to subvertical moved_to[s]."""
        for latent in (self._taste, self._drift):
            latent[:, moved_to] = latent.copy()

    def remember(self, users: np.ndarray, advertisers: np.ndarray) -> None:
        """Conversions of the day, which make the next with the same advertiser likelier."""
        np.add.at(self.bought, (users, advertisers), 1.0)

    def brand_utility(self, users: np.ndarray) -> np.ndarray:
        """(n, A) logit of each brand within its subvertical, for some users."""
        remembered = np.minimum(self.bought[users], 2.0)
        found: np.ndarray = self.catalogue.brand + self.brand_liking[users] + self.settings.loyalty * remembered
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
        favourites = np.argsort(-gumbel, axis=1)[:, :4]
        np.put_along_axis(logits, favourites, np.take_along_axis(logits, favourites, axis=1) + 1.6, axis=1)
        return np.asarray(logits)

    def _interests(self, day: int) -> np.ndarray:
        logits = self._taste + self._drift + np.log(self.catalogue.season(day))
        if len(self._event):
            lift = self._lifts()[self._event[:, 1]]
            np.maximum.at(boost := np.zeros_like(logits), self._event[:, 0], lift)
            logits = logits + boost
        weight = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: np.ndarray = weight / weight.sum(axis=1, keepdims=True)
        return found

    def _lifts(self) -> np.ndarray:
        """(kinds of life event, S) what each adds."""
        present = self.catalogue.subverticals["subvertical"]
        return np.stack([_LIFT * present.isin(list(names)).to_numpy() for names in LIFE_EVENTS.values()])

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
