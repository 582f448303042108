"""What people do about ads: clicks, conversions, and the credit that attribution gives.

A click is likelier at the top, for good ads, for what the user likes, and much likelier for what the
user wants right now; it may end an intent on the spot or cause an impulse conversion. An intent that
comes due converts with an advertiser of its subvertical: by liking, lean, memory and recent exposure.
Credit goes to the last click on that advertiser, else to its last view, if the conversion happens
and becomes known in time; known_at lags event_time by minutes to a week.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ml.world.clock import DAY, HOUR, Chance, Stage
from ml.world.intents import Intents
from ml.world.pool import Pool, Rows, choose, stack, take
from ml.world.population import Population

CREDIT_DAYS = 7
"""A credited conversion is known by the end of this many days after the impression's day: labels close."""
CLICK, VIEW, NONE = 0, 1, 2
_CREDIT = ("key", "time", "shown", "impression", "day", "ad")
ATTRIBUTIONS = ("click", "view", "none")
_POSITION_DECAY = 0.65
"""A slot is looked at this much as often as the one above it."""
_WANTS, _LIKES, _LIKES_BRAND = 2.0, 0.35, 0.5
"""Logits of a click: for an open intent, per e-fold of interest over the average, per logit of brand liking."""
_FULFILS, _IMPULSE = 0.35, 0.04
"""Chance that a click converts, with and without an open intent for it."""
_LEAN = 1.6
"""Logit of the advertiser an intent leaned to from the start."""
_VIEWED, _CLICKED, _EXPOSURE_LEFT = 0.3, 0.8, 0.7
"""Logit an impression and a click add to their advertiser, and the share of it left a day later."""


@dataclass
class Response:
    """Users' answers to a day of ads, and the conversions of the day."""

    population: Population
    intents: Intents
    chance: Chance
    exposure: np.ndarray = field(init=False)
    """(U, A) how much of each advertiser a user has seen lately, logit."""
    promised: Pool = field(default_factory=lambda: Pool("user", "advertiser"))
    """Conversions that will happen: clicks that led somewhere, repeat purchases."""
    shown: Rows = field(init=False)
    clicked: Rows = field(init=False)
    """Impressions and clicks that may still get credit: key (user and advertiser), time (of the click, in
    `clicked`), shown (time of the impression), impression, day, ad."""

    def __post_init__(self) -> None:
        self.exposure = np.zeros((self.population.settings.users, len(self.population.catalogue.names)))
        self.forget()

    def forget(self) -> None:
        """Drop what could get credit: conversions must not refer to impressions of the unlogged warm-up."""
        self.shown, self.clicked = ({c: np.zeros(0, dtype=np.int64) for c in _CREDIT} for _ in range(2))

    def clicks(self, day: int, shown: Rows) -> Rows:
        """Clicks by time: impression (row of `shown`), time, dwell_seconds. They may end intents."""
        rng = self.chance.of(Stage.CLICKS, day)
        people, catalogue = self.population, self.population.catalogue
        user, adv = shown["user"], catalogue.ad_advertiser[shown["ad"]]
        intent = self.intents.wanting(user, catalogue.sub[adv], shown["time"])
        average = catalogue.rate / catalogue.rate.sum()
        likes = np.log(people.interest[user, catalogue.sub[adv]] / average[catalogue.sub[adv]])
        logit = _WANTS * (intent >= 0) + _LIKES * np.clip(likes, -2, 2)
        logit += _LIKES_BRAND * people.liking(user, adv) + catalogue.ad_quality[shown["ad"]]
        chance = people.settings.click_rate * _POSITION_DECAY ** shown["position"] * np.exp(logit)
        row = np.flatnonzero(rng.random(len(user)) < np.minimum(chance, 0.6))
        time = np.minimum(shown["time"][row] + rng.integers(1, 60, len(row)), (day + 1) * DAY - 1)
        dwell = np.round(np.exp(2.6 + 0.9 * (intent[row] >= 0) + rng.normal(0, 0.9, len(row))), 1)
        self._follow(user[row], adv[row], time, intent[row], rng)
        self._expose(day, shown, adv, row, time)
        clicks: Rows = {"impression": row, "time": time, "dwell_seconds": dwell}
        return take(clicks, np.lexsort((row, time)))

    def conversions(self, day: int) -> Rows:
        """Conversions of a day by time: user, advertiser, time, known, attribution, impression, shown_on, ad.

        `impression` and `ad` are -1 without credit; `impression` is its number on day `shown_on`.
        """
        rng = self.chance.of(Stage.CONVERSIONS, day)
        found = stack(self._decide(self.intents.due(day), day, rng), self.promised.take_until((day + 1) * DAY))
        active = self.population.catalogue.active(day)
        found = take(found, active[found["advertiser"]])
        found = take(found, np.lexsort((found["advertiser"], found["user"], found["time"])))
        self._promise_repeats(found, rng)
        self.population.remember(found["user"], found["advertiser"])
        found["known"] = found["time"] + reporting_delays(len(found["time"]), rng)
        return self._credit(found)

    def _follow(
        self, user: np.ndarray, adv: np.ndarray, time: np.ndarray, intent: np.ndarray, rng: np.random.Generator
    ) -> None:
        """Promise the conversions that clicks lead to; an intent is fulfilled once."""
        converts = rng.random(len(user)) < np.where(intent >= 0, _FULFILS, _IMPULSE)
        _, first = np.unique(np.where(converts, intent, -1), return_index=True)
        is_first = np.zeros(len(user), dtype=bool)
        is_first[first] = True
        goes = converts & ((intent < 0) | is_first)
        self.intents.fulfil(intent[goes & (intent >= 0)])
        later = (60 + rng.exponential(1.5 * HOUR, len(user))).astype(np.int64)
        self.promised.add(time=(time + later)[goes], user=user[goes], advertiser=adv[goes])

    def _expose(self, day: int, shown: Rows, adv: np.ndarray, clicked: np.ndarray, click_time: np.ndarray) -> None:
        """Remember a day's impressions and clicks: for later choices, and for credit."""
        self.exposure *= _EXPOSURE_LEFT
        np.add.at(self.exposure, (shown["user"], adv), _VIEWED)
        np.add.at(self.exposure, (shown["user"][clicked], adv[clicked]), _CLICKED)
        n = len(adv)
        views: Rows = {
            "key": shown["user"] * self.exposure.shape[1] + adv, "time": shown["time"], "shown": shown["time"],
            "impression": np.arange(n), "day": np.full(n, day), "ad": shown["ad"],
        }  # fmt: skip
        clicks = {**take(views, clicked), "time": click_time}
        oldest = day - CREDIT_DAYS
        self.shown = stack(take(self.shown, self.shown["day"] >= oldest), views)
        self.clicked = stack(take(self.clicked, self.clicked["day"] >= oldest), clicks)

    def _decide(self, due: Rows, day: int, rng: np.random.Generator) -> Rows:
        """Intents that convert now, each with its advertiser."""
        people, user = self.population, due["user"]
        members = people.catalogue.members[due["sub"]]
        some = np.maximum(members, 0)
        utility = people.brand_utility(user[:, None], some) + np.minimum(self.exposure[user[:, None], some], 2.0)
        utility += _LEAN * (members == due["lean"][:, None])
        possible = (members >= 0) & people.catalogue.active(day)[some]
        at = choose(np.exp(utility) * possible, rng)
        return {"time": due["time"], "user": user, "advertiser": members[np.arange(len(user)), at]}

    def _promise_repeats(self, found: Rows, rng: np.random.Generator) -> None:
        """Goods that are used up are bought again, of the same advertiser, days to weeks later."""
        catalogue = self.population.catalogue
        used_up = catalogue.subverticals["repeat"].to_numpy()[catalogue.sub[found["advertiser"]]]
        again = rng.random(len(used_up)) < self.population.settings.repeat_share * used_up
        wait = (DAY * (4 + rng.gamma(2.0, 6.0, len(used_up)))).astype(np.int64)
        self.promised.add(
            time=(found["time"] + wait)[again], user=found["user"][again], advertiser=found["advertiser"][again]
        )

    def _credit(self, found: Rows) -> Rows:
        """Add attribution and the credited impression: the last click in time, else the last view in time."""
        n = len(found["user"])
        credit: Rows = {name: np.full(n, -1) for name in ("impression", "shown_on", "ad")}
        credit["attribution"] = np.full(n, NONE)
        key = found["user"] * self.exposure.shape[1] + found["advertiser"]
        settings = self.population.settings
        for attribution, log, days in (
            (VIEW, self.shown, settings.view_days),
            (CLICK, self.clicked, settings.click_days),
        ):
            last = last_before(log, key, found["time"])
            some = np.maximum(last, 0)
            if not len(log["key"]):
                continue
            recent = found["time"] <= log["shown"][some] + days * DAY
            in_time = found["known"] < (log["day"][some] + CREDIT_DAYS + 1) * DAY
            given = (last >= 0) & recent & in_time
            credit["attribution"][given] = attribution
            for name, column in (("impression", "impression"), ("shown_on", "day"), ("ad", "ad")):
                credit[name][given] = log[column][some[given]]
        return {**found, **credit}


def last_before(log: Rows, key: np.ndarray, time: np.ndarray) -> np.ndarray:
    """(n,) row of `log` with that key and the latest time strictly before `time`; -1 if there is none."""
    if not len(log["key"]):
        return np.full(len(key), -1)
    span = DAY * 10_000
    order = np.argsort(log["key"] * span + log["time"], kind="stable")
    at = np.searchsorted((log["key"] * span + log["time"])[order], key * span + time, side="left") - 1
    row = order[np.maximum(at, 0)]
    return np.where((at >= 0) & (log["key"][row] == key), row, -1)


def reporting_delays(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) seconds from a conversion until it is known: a third within the hour, half within a day, all within 7."""
    kind = rng.random(n)
    spread = rng.random(n)
    minutes = 30 + spread * (HOUR - 60)
    hours = HOUR * 24.0**spread
    days = DAY * (1 - 2.0 * np.log1p(-spread * (1 - np.exp(-3.0))))
    delays: np.ndarray = np.select([kind < 1 / 3, kind < 1 / 2], [minutes, hours], days)
    found: np.ndarray = np.minimum(delays.astype(np.int64), 7 * DAY - 1)
    return found
