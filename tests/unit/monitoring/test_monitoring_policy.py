"""Decisions on sequences of reports: hysteresis, cooldown, weekly maximum, and no training on faulty data."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.monitoring.alert import Alert, alerts_of
from ml.monitoring.policy import DayReport, Decision, Request, decide
from ml.monitoring.settings import DriftSettings

START, TRAINED = date(2026, 5, 1), date(2026, 4, 15)
SETTINGS = DriftSettings(consecutive_days=2, cooldown_days=7, max_retrains_per_week=1)


def day(number: int) -> date:
    return START + timedelta(days=number)


def report(number: int, drifting: str = "", faults: str = "", trained_on: date = TRAINED) -> DayReport:
    """A day on which the features named by single letters alert."""
    today, rows = day(number), []
    for name in drifting:
        moved = [{"value": "x", "reference": 0.1, "now": 0.4}]
        rows.append(
            {"feature": name, "title": f"title {name}", "concern": "input", "statistic": "psi", "value": 0.5,
             "threshold": 0.2, "n": 200, "moved": moved}
        )  # fmt: skip
    for name in faults:
        moved = [{"value": "x", "reference": 0.0, "now": 0.3}]
        rows.append(
            {"feature": name, "title": f"rows of {name} in quarantine", "concern": "quarantine", "statistic": "share",
             "value": 0.3, "threshold": 0.01, "n": 200, "moved": moved}
        )  # fmt: skip
    return DayReport(
        today, today - timedelta(days=6), trained_on, date(2026, 3, 1), date(2026, 3, 28),
        frozenset(drifting), frozenset(faults), tuple(rows),
    )  # fmt: skip


def days(pattern: str) -> list[DayReport]:
    """One report a character: `.` quiet, a letter drifts, `!` a fault, `_` no report."""
    return [
        report(i, drifting=c if c.isalpha() else "", faults="q" if c == "!" else "")
        for i, c in enumerate(pattern)
        if c != "_"
    ]


def mornings(pattern: str, settings: DriftSettings = SETTINGS) -> tuple[list[int], list[Alert]]:
    """Decide every morning, as the sensor would: days of requests, and the alerts told."""
    requests: list[Request] = []
    alerts: list[Alert] = []
    reports = days(pattern)
    for i in range(1, len(reports) + 1):
        decision = decide(reports[:i], requests, settings)
        alerts += alerts_of(decision, {key for alert in alerts for key in alert.keys})
        if decision.retrain:
            requests.append(Request(decision.newest.day, failed=False, by_drift=True))
    return [(request.day - START).days for request in requests], alerts


@pytest.mark.parametrize(
    ("pattern", "requested", "kinds"),
    [
        (".....................", [], []),
        (".....a.....b.....a...", [], []),  # single days are no drift
        (".....ab....", [], []),  # nor are two features on a day each
        (".....aa....", [6], ["drift", "over"]),
        ("....a_aa", [7], ["drift"]),  # a missing day breaks the row
        ("....aa_a", [5], ["drift"]),  # but does not end it
        ("..aa.a.a.a", [3], ["drift"]),  # flapping is one drift, told once
        ("..aaaaaaaaaaaaaaa", [3, 10], ["drift", "drift"]),  # goes on: asked for again after the cooldown
        ("..aa...aa....", [3], ["drift", "over", "drift", "over"]),  # the second falls into the cooldown
        ("....!....", [], ["fault"]),
        ("....!!!!.", [], ["fault"]),
        ("....!.aaa", [], ["fault", "drift"]),  # the fault still lies in the compared week
        ("!......aaa", [8], ["fault", "drift"]),  # now it does not
        ("..aaa!aaa", [3], ["drift", "fault"]),
    ],
)
def test_a_sequence_of_days(pattern: str, requested: list[int], kinds: list[str]) -> None:
    days_of_requests, alerts = mornings(pattern)
    assert days_of_requests == requested
    assert [alert.kind for alert in alerts] == kinds


@given(st.text(alphabet="..ab!_", max_size=40), st.integers(1, 4), st.integers(1, 10), st.integers(0, 3))
def test_never_more_than_allowed_and_never_on_a_fault(pattern: str, row: int, cooldown: int, most: int) -> None:
    settings = DriftSettings(consecutive_days=row, cooldown_days=cooldown, max_retrains_per_week=most)
    requested, alerts = mornings(pattern, settings)
    for a, b in pairwise(requested):
        assert b - a >= cooldown
    for x in requested:
        assert sum(x - 7 < other <= x for other in requested) <= most
        assert "!" not in pattern[max(0, x - 6) : x + 1], "a fault in the compared week"
        assert pattern[x].isalpha()
    keys = [key for alert in alerts for key in alert.keys if "retraining" in key or "fault" in key]
    assert len(keys) == len(set(keys)), "told twice"


def test_a_quiet_sequence_says_nothing_whatever_the_settings() -> None:
    for row in (1, 2, 5):
        assert mornings("." * 21, SETTINGS.model_copy(update={"consecutive_days": row})) == ([], [])


def decided(requests: list[Request], **changed: int) -> Decision:
    return decide(days("...aaaa"), requests, SETTINGS.model_copy(update=changed))


def test_any_training_starts_the_cooldown_unless_it_failed() -> None:
    weekly = Request(day(2), failed=False, by_drift=False)
    assert "cooldown lasts until 2026-05-10" in decided([weekly]).held_back
    assert decided([Request(day(2), failed=True, by_drift=False)]).retrain


def test_a_training_of_which_no_run_is_left_is_known_from_the_report() -> None:
    """`make run` trains without the job, and old runs are deleted."""
    reports = [report(i, "a", trained_on=day(0)) for i in range(4)]
    assert "cooldown" in decide(reports, [], SETTINGS).held_back


def test_a_failed_request_uses_up_the_weekly_maximum() -> None:
    failed = Request(day(5), failed=True, by_drift=True)
    assert "weekly maximum" in decided([failed]).held_back
    assert decided([failed], max_retrains_per_week=2).retrain


def test_zero_requests_a_week_only_alerts() -> None:
    decision = decided([], max_retrains_per_week=0)
    assert not decision.retrain and [a.kind for a in alerts_of(decision, set())] == ["drift"]


def test_what_an_alert_says() -> None:
    _, (alert,) = mornings("...aa")
    assert alert.title == "Drift since 2026-05-04: 1 feature on 2026-05-05"
    assert alert.lines[0].startswith("title a: PSI 0.50 (alerts from 0.2, n = 200)")
    assert "x 10.0% to 40.0%" in alert.lines[0]
    assert "the training window of the models of 2026-04-15" in alert.lines[-1]
    assert alert.request == "Requested a retraining of all models for 2026-05-05."


def test_an_alert_says_why_nothing_was_requested() -> None:
    _, (fault, drift) = mornings("...!aa")
    assert fault.title == "Data fault since 2026-05-04: q" and "must not learn" in fault.request
    assert "rows of q in quarantine: 30.0% (alerts from 1.0%, n = 200)" in fault.lines
    assert "a data fault lies within the compared days (q, last on 2026-05-04)" in drift.request
