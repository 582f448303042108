"""What to do about drift: when it has begun, when it is over, and whether to retrain now.

    drift:  begins when one feature alerts on `consecutive_days` days in a row, is over after as many days without
            any (hysteresis); a day without a report neither begins nor ends it
    fault:  begins on the first day a column or table alerts, is over after `consecutive_days` days without
    retrain: the newest day drifts, no data fault in its window, none trained within `cooldown_days`, and fewer than
            `max_retrains_per_week` requests in the last 7 days

Days are snapshot days, not hours of a clock: a backfill of a fortnight decides as fourteen mornings would. It keeps
no state: what has been reported, trained and requested so far goes in, so nothing is lost on a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, Self

from ml.monitoring.settings import DriftSettings


@dataclass(frozen=True)
class DayReport:
    """A drift report as far as decisions need it.

    Attributes:
        drifting, faults: features that alert.
        trained_on: snapshot day of the training it was compared with.
        rows: the report's rows, as dictionaries.
    """

    day: date
    first: date
    trained_on: date
    reference_first: date
    reference_last: date
    drifting: frozenset[str]
    faults: frozenset[str]
    rows: tuple[dict[str, Any], ...] = ()

    @classmethod
    def from_json(cls, report: dict[str, Any]) -> Self:
        """From report.json (see assets/drift_report.py)."""
        alerts = [row for row in report["rows"] if row["verdict"] == "alert"]
        fields = ("day", "first", "trained_on", "reference_first", "reference_last")
        return cls(
            **{name: date.fromisoformat(report[name]) for name in fields},
            drifting=frozenset(r["feature"] for r in alerts if r["concern"] in ("input", "unseen")),
            faults=frozenset(r["feature"] for r in alerts if r["concern"] in ("missing", "quarantine")),
            rows=tuple(report["rows"]),
        )


@dataclass(frozen=True)
class Episode:
    """A stretch of days with drift or a fault.

    Attributes:
        what: "drift", or the feature at fault.
        first: the first alerting day; last: the newest one.
        over: has it been quiet for long enough since?
    """

    what: str
    first: date
    last: date
    over: bool


@dataclass(frozen=True)
class Request:
    """A retraining that was requested: for which snapshot day, and whether its run failed."""

    day: date
    failed: bool
    by_drift: bool


@dataclass(frozen=True)
class Decision:
    """What follows from the reports so far.

    Attributes:
        newest: the report decided on.
        drift: the drift episode that is on or has just ended, if any; faults: likewise, by feature.
        retrain: request a retraining for the newest day?
        held_back: why not, though it drifts; empty otherwise.
    """

    newest: DayReport
    drift: Episode | None
    faults: tuple[Episode, ...]
    retrain: bool
    held_back: str

    @property
    def state(self) -> Literal["quiet", "drift", "fault"]:
        """In one word; drift while a fault lasts is a fault."""
        if any(not fault.over for fault in self.faults):
            return "fault"
        return "drift" if self.drift and not self.drift.over else "quiet"


def decide(reports: Sequence[DayReport], requests: Sequence[Request], settings: DriftSettings) -> Decision:
    """Decide on the newest report.

    Args:
        reports: at least one, one a day at most, oldest first.
        requests: retrainings requested so far, by whomever.
    """
    newest = reports[-1]
    drift = _last([(r.day, r.drifting) for r in reports], "drift", settings.consecutive_days, settings)
    names = sorted({name for r in reports for name in r.faults})
    found = [_last([(r.day, r.faults & {name}) for r in reports], name, 1, settings) for name in names]
    faults = tuple(e for e in found if e and (newest.day - e.last).days < settings.window_days)
    is_on = drift is not None and not drift.over and bool(newest.drifting)
    held_back = _held_back(newest, faults, requests, settings) if is_on else ""
    return Decision(newest, drift, faults, is_on and not held_back, held_back)


def _held_back(
    newest: DayReport, faults: tuple[Episode, ...], requests: Sequence[Request], settings: DriftSettings
) -> str:
    """Why drift on the newest day must not retrain now; empty if it may."""
    if faults:
        what = ", ".join(fault.what for fault in faults)
        return (
            f"a data fault lies within the compared days ({what}, last on {max(f.last for f in faults)}): mend it first"
        )
    if settings.max_retrains_per_week == 0:
        return "drift.max_retrains_per_week is 0: alerts only"
    trained = max([newest.trained_on, *(r.day for r in requests if not r.failed and r.day <= newest.day)])
    if (newest.day - trained).days < settings.cooldown_days:
        free = trained + timedelta(days=settings.cooldown_days)
        return f"a training for {trained} was done or requested, and the cooldown lasts until {free}"
    lately = [r for r in requests if r.by_drift and 0 <= (newest.day - r.day).days < 7]
    if len(lately) >= settings.max_retrains_per_week:
        days = ", ".join(str(r.day) for r in lately)
        return f"{len(lately)} retrainings were requested in 7 days ({days}), the weekly maximum"
    return ""


def _last(
    days: Sequence[tuple[date, Collection[str]]], what: str, to_begin: int, settings: DriftSettings
) -> Episode | None:
    """The newest episode of a sequence of days and what alerts on them."""
    found: Episode | None = None
    for i, (day, alerting) in enumerate(days):
        if found and not found.over:
            if alerting:
                found = Episode(what, found.first, day, False)
            elif _quiet(days[: i + 1], settings.consecutive_days):
                found = Episode(what, found.first, found.last, True)
        elif _begins(days[: i + 1], to_begin):
            found = Episode(what, _start(days[: i + 1]), day, False)
    return found


def _begins(days: Sequence[tuple[date, Collection[str]]], length: int) -> bool:
    """Does one and the same feature alert on each of the last `length` days, none missing?"""
    tail = days[-length:]
    unbroken = len(tail) == length and (tail[-1][0] - tail[0][0]).days == length - 1
    return unbroken and bool(set.intersection(*(set(alerting) for _, alerting in tail)))


def _quiet(days: Sequence[tuple[date, Collection[str]]], length: int) -> bool:
    return len(days) >= length and not any(alerting for _, alerting in days[-length:])


def _start(days: Sequence[tuple[date, Collection[str]]]) -> date:
    """First day of the unbroken alerting days at the end."""
    start = days[-1][0]
    for day, alerting in reversed(days[:-1]):
        if not alerting or (start - day).days != 1:
            break
        start = day
    return start
