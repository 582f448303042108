"""Life events: a move, a baby, a new sport; for some weeks they change what a user wants.

An event shows in what people look at before it shows in what they buy: in its first week they look around, with
searches and visits that no conversion ends (`Intents` plans them by `looking`), and the lift of its subverticals
grows to its full height over that week. It does not know who the users are beyond their age.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

LIFE_EVENTS: dict[str, tuple[str, ...]] = {
    "move": ("moving and storage", "apartments", "furniture", "mattresses", "home internet", "home decor"),
    "home": ("homes for sale", "paint", "home improvement", "electricity plans", "kitchenware"),
    "baby": ("baby gear", "kids clothes", "toys", "child care", "life insurance", "household supplies"),
    "new sport": ("running shoes", "outdoor gear", "bicycles", "sporting goods", "activewear", "fitness classes"),
    "diet": ("gym membership", "vitamins", "salads and bowls", "smoothies"),
    "car": ("new cars", "used cars", "car insurance", "tires", "auto parts"),
    "pet": ("pet supplies", "vet care"),
    "trip": ("hotels", "flights", "car rental", "luggage", "vacation packages", "beach resorts"),
    "wedding": ("jewelry", "womens clothing", "makeup", "fragrance", "spa and beauty", "menswear"),
    "new job": ("casual clothes", "laptops", "phone plans", "bank accounts", "credit cards", "coffee"),
    "school": ("tutoring", "office supplies", "eyeglasses", "books", "online degrees"),
    "retirement": ("cruises", "investing", "hearing aids", "health insurance"),
}
"""The events and the subverticals that each makes wanted."""
_BY_AGE = {
    "move": -0.4, "baby": -0.8, "new sport": -0.3, "wedding": -0.6, "new job": -0.5, "school": -0.6, "retirement": 2.0,
}  # fmt: skip
"""How much likelier (log) an event is per e-fold of age, of two buckets; the others happen to everybody alike."""
_LIFT = 2.2
"""What an event adds to the logit of its subverticals at its height."""
LOOKING_DAYS = 7
"""Days of looking around at the start, over which the lift grows."""
_LASTS = (21, 50)
"""Shortest and longest event in days."""


class LifeEvents:
    """Events of a population that are going on: columns `user`, `kind`, `begins`, `ends` (first day without it).

    Args:
        subverticals: those of the world; events that lift none of them do not happen.
        per_user: events a user and 60 days.
    """

    def __init__(self, subverticals: pd.DataFrame, per_user: float) -> None:
        lifted = np.stack([subverticals["subvertical"].isin(names).to_numpy() for names in LIFE_EVENTS.values()])
        self._present = np.flatnonzero(lifted.any(axis=1))
        self.lifted = lifted
        """(kinds, S) True for the subverticals that each kind of event lifts."""
        self._tilt = np.array([_BY_AGE.get(name, 0.0) for name in LIFE_EVENTS])
        self._per_day = per_user / 60
        self.on = np.zeros((0, 4), dtype=np.int64)

    def live(self, day: int, age: np.ndarray, rng: np.random.Generator) -> None:
        """Events end and begin.

        Args:
            day: the day that begins.
            age: (U,) number of each user's age bucket.
            rng: whose, which and how long.
        """
        begins = np.flatnonzero(rng.random(len(age)) < self._per_day)
        if not len(self._present):
            return
        taste = np.exp((age[begins, None] - 2.0) / 2.0 * self._tilt[self._present])
        upto = np.cumsum(taste, axis=1)
        drawn = (rng.random((len(begins), 1)) * upto[:, -1:] >= upto).sum(axis=1)
        ends = day + rng.integers(_LASTS[0], _LASTS[1] + 1, len(begins))
        new = np.stack([begins, self._present[drawn], np.full(len(begins), day), ends], axis=1)
        self.on = np.vstack([self.on[self.on[:, 3] > day], new])

    def lift(self, day: int, logits: np.ndarray) -> None:
        """Raise the (U, S) logits of interest, in place, by the strongest event that lifts each."""
        event, sub = np.nonzero(self.lifted[self.on[:, 1]])
        height = _LIFT * np.minimum((day - self.on[event, 2] + 1) / LOOKING_DAYS, 1.0)
        boost = np.zeros_like(logits)
        np.maximum.at(boost, (self.on[event, 0], sub), height.astype(logits.dtype))
        logits += boost

    def looking(self, day: int, per_day: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Who looks around on a day after an event that has just begun, and at which subvertical; two (n,) arrays."""
        early = self.on[day - self.on[:, 2] < LOOKING_DAYS]
        row = np.repeat(np.arange(len(early)), rng.poisson(per_day, len(early)))
        choice = self.lifted[early[row, 1]]
        at = (rng.random(len(row)) * choice.sum(axis=1)).astype(np.int64)
        sub = np.argmax(np.cumsum(choice, axis=1) > at[:, None], axis=1)
        return early[row, 0], sub
