"""Alerts are written down first, delivered at least once, and a webhook that fails stops nobody and leaks nothing."""

from __future__ import annotations

import json
import logging
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ml.monitoring.alert import Alert
from orchestration.alerts import AlertBook, AlertSettings, send, slack_message
from tests.drift.webhook import SECRET, webhook

SETTINGS = AlertSettings(timeout_seconds=0.5, attempts=2)
LINKS = {"drift_report in Dagster": "http://127.0.0.1:3000/assets/drift_report", "report": "/somewhere/report.json"}


def alert(name: str = "drift since 2026-05-04") -> Alert:
    lines = ("category of visits: PSI 0.89 (alerts from 0.2, n = 160)", "Tom & Jerry's <toys> 10.0% to 40.0%")
    return Alert((name,), "drift", date(2026, 5, 5), f"Drift: {name}", lines, "Requested a retraining.")


@pytest.fixture
def book(tmp_path: Path) -> AlertBook:
    return AlertBook(tmp_path / "deep" / "alerts.jsonl")


def entries(book: AlertBook) -> list[dict[str, Any]]:
    return [json.loads(line) for line in book.path.read_text().splitlines()]


def test_an_alert_is_remembered_and_logged(book: AlertBook, caplog: pytest.LogCaptureFixture) -> None:
    book.raise_alert(alert(), LINKS)
    assert AlertBook(book.path).told() == {"drift since 2026-05-04"}
    (record,) = [r for r in caplog.records if r.name == "adprior.alerts"]
    said = json.loads(record.getMessage().removeprefix("alert "))
    assert said["day"] == "2026-05-05" and said["links"] == LINKS and said["request"] == "Requested a retraining."


def test_without_a_webhook_nothing_is_sent(book: AlertBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTINGS.webhook_env, raising=False)
    book.raise_alert(alert(), LINKS)
    assert book.deliver(SETTINGS) == 0 and len(entries(book)) == 1


def test_the_webhook_gets_slack_compatible_json_once(book: AlertBook, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as hook:
        monkeypatch.setenv(SETTINGS.webhook_env, hook.address)
        book.raise_alert(alert(), LINKS)
        assert book.deliver(SETTINGS) == 1 and book.deliver(SETTINGS) == 0
    (message,) = hook.messages
    assert "Drift: drift since 2026-05-04" in message["text"] and "Requested a retraining." in message["text"]
    kinds = [block["type"] for block in message["blocks"]]
    assert kinds == ["header", "section", "section", "context"]
    facts = message["blocks"][1]["text"]
    assert facts["type"] == "mrkdwn" and "Tom &amp; Jerry's &lt;toys&gt;" in facts["text"]
    assert "<http://127.0.0.1:3000/assets/drift_report|drift_report in Dagster>" in str(message["blocks"][-1])


def test_a_server_error_is_tried_again(book: AlertBook, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook(500, 200) as hook:
        monkeypatch.setenv(SETTINGS.webhook_env, hook.address)
        book.raise_alert(alert(), LINKS)
        assert book.deliver(SETTINGS) == 1
    assert hook.calls == 2 and len(hook.messages) == 1


@pytest.mark.parametrize(("answer", "why"), [(500, "500"), (404, "404"), (302, "302"), (0, "ConnectionError")])
def test_a_webhook_that_fails_is_written_down_and_tried_by_the_next_tick(
    book: AlertBook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answer: int, why: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with webhook(answer) as hook:
        monkeypatch.setenv(SETTINGS.webhook_env, hook.address)
        for name in ("one", "two"):
            book.raise_alert(alert(name), LINKS)
        started = time.monotonic()
        assert book.deliver(SETTINGS) == 0
        assert time.monotonic() - started < 3
        assert not hook.messages
        calls = hook.calls
        assert calls == (2 if answer in (500, 0) else 1), "the second alert waits for the next tick"
        hook.answers = [200]
        assert book.deliver(SETTINGS) == 2
        assert [m["text"].split(".")[0][-3:] for m in hook.messages] == ["one", "two"], "in order"
    failed = [entry for entry in entries(book) if entry["event"] == "failed"]
    assert len(failed) == 1 and why in failed[0]["why"]
    assert SECRET not in book.path.read_text() + caplog.text
    assert any(record.levelname == "ERROR" and "was not delivered" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    "address", [f"http://127.0.0.1:9/{SECRET}", f"ftp://host/{SECRET}", SECRET, "http://[/" + SECRET]
)
def test_an_address_that_leads_nowhere_leaks_nothing(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    why = send(address, {"text": "hello"}, SETTINGS)
    assert why and SECRET not in why and SECRET not in caplog.text


def test_an_alert_is_given_up_after_a_day(book: AlertBook, monkeypatch: pytest.MonkeyPatch) -> None:
    book.raise_alert(alert(), LINKS)
    text = book.path.read_text()
    book.path.write_text(text.replace(entries(book)[0]["time"], "2026-01-01T00:00:00+00:00"))
    with webhook() as hook:
        monkeypatch.setenv(SETTINGS.webhook_env, hook.address)
        assert book.deliver(SETTINGS) == 0 and hook.calls == 0
    assert book.told(), "but it is not raised again"


def test_a_line_cut_short_by_a_kill_is_raised_again_and_hurts_no_other(book: AlertBook) -> None:
    book.raise_alert(alert("one"), LINKS)
    whole = book.path.read_text()
    book.path.write_text(whole + '{"event": "alert", "keys": ["two"')
    assert book.told() == {"one"}
    book.raise_alert(alert("two"), LINKS)
    assert book.told() == {"one", "two"}


def test_an_address_in_the_settings_is_refused() -> None:
    with pytest.raises(ValidationError, match="webhook_env"):
        AlertSettings(webhook_env="https://hooks.slack.com/services/T/B/x")


def test_texts_keep_to_the_limits_of_slack() -> None:
    long = Alert(("k",), "fault", date(2026, 5, 5), "t" * 400, ("line " * 200,) * 20, "r" * 5000)
    entry = {"kind": "fault", "title": long.title, "lines": long.lines, "request": long.request, "links": {}}
    message = slack_message(entry)
    assert len(message["blocks"][0]["text"]["text"]) <= 150
    assert all(len(str(b.get("text", {}).get("text", ""))) <= 3000 for b in message["blocks"])
