"""Alerts: what a person is told about drift and data faults, once each.

An alert has keys; one of them known already means it has been told. Texts hold shares and counts of whole features
only: no user, no text, no row. Where it is sent is `orchestration.alerts`' business.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Literal

from ml.monitoring.policy import DayReport, Decision, Episode
from ml.monitoring.table import sentence

SHOWN = 5
"""Features an alert names at most."""


@dataclass(frozen=True)
class Alert:
    """One message.

    Attributes:
        keys: what it tells; each is told once.
        kind: drift, fault (of the data), stopped (a day, by a blocking check), or over.
        day: snapshot day it is about.
        title: one line; lines: the facts; request: what was requested, or why nothing was.
    """

    keys: tuple[str, ...]
    kind: Literal["drift", "fault", "stopped", "over"]
    day: date
    title: str
    lines: tuple[str, ...]
    request: str


def alerts_of(decision: Decision, told: Collection[str]) -> list[Alert]:
    """What is to be told about a decision and has not been."""
    found = [_fault(decision, told), _drift(decision, told), _over(decision, told)]
    return [alert for alert in found if alert and not set(alert.keys) <= set(told)]


def drift_key(drift: Episode) -> str:
    return f"drift since {drift.first}"


def _drift(decision: Decision, told: Collection[str]) -> Alert | None:
    """That drift began, and what is done; told again when a retraining is requested later on."""
    drift, newest = decision.drift, decision.newest
    if drift is None or drift.over or not newest.drifting:
        return None
    began = drift_key(drift)
    keys: tuple[str, ...] = (began,)
    if decision.retrain:
        keys = (began, f"{began}, retraining for {newest.day}")
        request = f"Requested a retraining of all models for {newest.day}."
    else:
        request = f"No retraining requested: {decision.held_back}."
    title = f"Drift since {drift.first}: {_count(newest.drifting, 'feature')} on {newest.day}"
    if began in told:
        title = f"Drift goes on since {drift.first}: {_count(newest.drifting, 'feature')} on {newest.day}"
    return Alert(keys, "drift", newest.day, title, (*_sentences(newest, newest.drifting), _compared(newest)), request)


def _fault(decision: Decision, told: Collection[str]) -> Alert | None:
    newest = decision.newest
    new = [fault for fault in decision.faults if f"fault {fault.what} since {fault.first}" not in told]
    if not new:
        return None
    keys = tuple(f"fault {fault.what} since {fault.first}" for fault in new)
    names = {fault.what for fault in new}
    lines = _sentences(newest, names & newest.faults)
    past = [f"{fault.what}: from {fault.first} to {fault.last}" for fault in new if fault.what not in newest.faults]
    title = f"Data fault since {min(fault.first for fault in new)}: {', '.join(sorted(names))}"
    request = "No retraining requested: models must not learn from faulty data. Mend the delivery, ingest it again."
    return Alert(keys, "fault", newest.day, title, (*lines, *past), request)


def _over(decision: Decision, told: Collection[str]) -> Alert | None:
    """That drift which was told of is over."""
    drift = decision.drift
    if drift is None or not drift.over or drift_key(drift) not in told:
        return None
    title = f"Drift of {drift.first} to {drift.last} is over"
    return Alert((f"{drift_key(drift)}, over",), "over", decision.newest.day, title, (_compared(decision.newest),), "")


def _sentences(report: DayReport, features: Collection[str]) -> tuple[str, ...]:
    """The worst features in words."""
    rows = sorted((r for r in report.rows if r["feature"] in features), key=lambda r: -r["value"] / r["threshold"])
    more = (f"... and {len(rows) - SHOWN} more",) if len(rows) > SHOWN else ()
    return (*(sentence(row) for row in rows[:SHOWN]), *more)


def _compared(report: DayReport) -> str:
    return (
        f"Compared: {report.first} to {report.day} with {report.reference_first} to {report.reference_last}, "
        f"the training window of the models of {report.trained_on}"
    )


def _count(names: Collection[str], what: str) -> str:
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'}"
