"""Attribution: which impression a conversion is credited to, and when it becomes known.

Credit goes to the last click on that advertiser, else to its last view, if the conversion happens in the attribution
window and becomes known by the end of `CREDIT_DAYS` after the impression's day, so that labels close. `known_at` lags
event_time by minutes to a week. It does not know why anybody converts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ml.world.clock import DAY, HOUR
from ml.world.pool import Rows, stack, take

LATEST = 7 * DAY - 1
"""Seconds after which every conversion is known."""
CREDIT_DAYS = 7
"""A credited conversion is known by the end of this many days after the impression's day: labels close."""
CLICK, VIEW, NONE = 0, 1, 2
ATTRIBUTIONS = ("click", "view", "none")
_COLUMNS = ("key", "time", "shown", "impression", "day", "ad")


@dataclass
class Ledger:
    """Impressions and clicks that may still get credit.

    Columns of `shown` and `clicked`: key (user and advertiser), time (of the click, in `clicked`), shown (time of the
    impression), impression, day, ad.

    Args:
        advertisers: how many there are.
        click_days, view_days: attribution windows.
    """

    advertisers: int
    click_days: int
    view_days: int
    shown: Rows = field(init=False)
    clicked: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop all of it: conversions must not refer to impressions of the unlogged warm-up."""
        self.shown, self.clicked = ({c: np.zeros(0, dtype=np.int64) for c in _COLUMNS} for _ in range(2))

    def add(self, day: int, shown: Rows, clicked: np.ndarray, click_time: np.ndarray) -> None:
        """Take in impressions, and clicks on some of them (rows `clicked`)."""
        views: Rows = {
            "key": shown["user"] * self.advertisers + shown["advertiser"], "time": shown["time"],
            "shown": shown["time"], "impression": shown["impression"],
            "day": np.full(len(shown["user"]), day), "ad": shown["ad"],
        }  # fmt: skip
        self.shown = stack(self.shown, views)
        self.clicked = stack(self.clicked, {**take(views, clicked), "time": click_time})

    def close(self, day: int) -> None:
        """A day is over: drop what is too old to get credit on the next."""
        views = max(self.view_days, 1)
        self.shown = take(self.shown, self.shown["day"] >= day + 1 - views)
        self.clicked = take(self.clicked, self.clicked["day"] >= day + 1 - CREDIT_DAYS)

    def credit(self, found: Rows) -> Rows:
        """Conversions with attribution, impression, shown_on (day of that impression) and ad; the latter -1 without."""
        n = len(found["user"])
        credit: Rows = {name: np.full(n, -1) for name in ("impression", "shown_on", "ad")}
        credit["attribution"] = np.full(n, NONE)
        key = found["user"] * self.advertisers + found["advertiser"]
        for attribution, log, days in ((VIEW, self.shown, self.view_days), (CLICK, self.clicked, self.click_days)):
            if not len(log["key"]):
                continue
            last = last_before(log, key, found["time"])
            some = np.maximum(last, 0)
            recent = found["time"] <= log["shown"][some] + days * DAY
            in_time = found["known"] < (log["day"][some] + CREDIT_DAYS + 1) * DAY
            given = (last >= 0) & recent & in_time
            credit["attribution"][given] = attribution
            for name, column in (("impression", "impression"), ("shown_on", "day"), ("ad", "ad")):
                credit[name][given] = log[column][some[given]]
        return {**found, **credit}


def last_before(log: Rows, key: np.ndarray, time: np.ndarray) -> np.ndarray:
    """(n,) row of `log` with that key and the latest time strictly before `time`; -1 if there is none."""
    asked = np.flatnonzero(np.isin(log["key"], key))
    if not len(asked):
        return np.full(len(key), -1)
    span = DAY * 10_000
    place = log["key"][asked] * span + log["time"][asked]
    order = np.argsort(place, kind="stable")
    at = np.searchsorted(place[order], key * span + time, side="left") - 1
    row = asked[order[np.maximum(at, 0)]]
    return np.where((at >= 0) & (log["key"][row] == key), row, -1)


def reporting_delays(kind: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """(n,) seconds from a conversion until it is known: a third within the hour, half within a day, all within 7.

    Args:
        kind, spread: (n,) independent uniform draws.
    """
    minutes = 30 + spread * (HOUR - 60)
    hours = HOUR * 24.0**spread
    days = DAY * (1 - 2.0 * np.log1p(-spread * (1 - np.exp(-3.0))))
    delays: np.ndarray = np.select([kind < 1 / 3, kind < 1 / 2], [minutes, hours], days)
    found: np.ndarray = np.minimum(delays.astype(np.int64), LATEST)
    return found
