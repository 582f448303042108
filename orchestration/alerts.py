"""Alerts leave the house here: a log line, a line in `alerts.jsonl`, and a webhook in Slack's format.

    <workspace>/alerts.jsonl    {"event": "alert", ...} as soon as there is one,
                                {"event": "delivered" | "failed", "id": ..., "why": ...} for each attempt to send it

The file is the memory: an alert in it is not raised again, and one that no attempt has delivered is sent again by
later ticks, until `give_up_hours` have passed. So a webhook that is down loses nothing and stops nobody. The
webhook's address is a secret: it is read from the environment, and no message of ours or of `requests` that could
hold it is ever written. It does not know what an alert is about.

Try it: `AlertBook(Path("var/world-small/alerts.jsonl")).told()`
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ml.monitoring.alert import Alert

LOG = logging.getLogger("adprior.alerts")
MARKS = {"drift": ":warning:", "fault": ":no_entry:", "stopped": ":no_entry:", "over": ":white_check_mark:"}


class AlertSettings(BaseModel):
    """Where alerts go, and when the drift sensor looks."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    webhook_env: str = Field("ADPRIOR_ALERT_WEBHOOK", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the address of a Slack-compatible webhook. The address is a secret:
    never write it here. Without the variable, alerts go to the log and to alerts.jsonl only."""
    timeout_seconds: float = Field(5, gt=0, le=10)
    """How long the webhook may take to answer."""
    attempts: int = Field(3, ge=1, le=4)
    """Attempts in a row, with growing pauses; the next tick of the sensor tries again."""
    give_up_hours: float = Field(24, gt=0)
    """Age at which an alert that could not be delivered is no longer sent."""
    sensor_on: bool = False
    """Is the drift sensor on from the start? If not, it is switched on in the Dagster UI."""
    every_seconds: int = Field(60, ge=1)
    """How often the drift sensor looks for a new report."""


class AlertBook:
    """The alerts of a workspace, in the order they were raised."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def raise_alert(self, alert: Alert, links: dict[str, str]) -> dict[str, Any]:
        """Write an alert down and log it; returns it as written."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"event": "alert", "id": f"{now} {alert.keys[-1]}", "time": now, **asdict(alert), "links": links}
        entry["day"] = alert.day.isoformat()
        self._append(entry)
        LOG.warning("alert %s", json.dumps(entry, default=str))
        return entry

    def told(self) -> set[str]:
        """Keys of all alerts so far."""
        return {key for entry in self._entries() if entry["event"] == "alert" for key in entry["keys"]}

    def undelivered(self, give_up_hours: float) -> list[dict[str, Any]]:
        """Alerts that no attempt has delivered, and that are young enough to matter, oldest first."""
        entries = list(self._entries())
        delivered = {entry["id"] for entry in entries if entry["event"] == "delivered"}
        oldest = datetime.now(UTC) - timedelta(hours=give_up_hours)
        return [
            entry
            for entry in entries
            if entry["event"] == "alert"
            and entry["id"] not in delivered
            and datetime.fromisoformat(entry["time"]) > oldest
        ]

    def deliver(self, settings: AlertSettings) -> int:
        """Send what is undelivered, if a webhook is set; stops at the first that fails, and returns how many went."""
        address = os.environ.get(settings.webhook_env)
        sent = 0
        for entry in self.undelivered(settings.give_up_hours) if address else []:
            why = send(str(address), slack_message(entry), settings)
            outcome = {"event": "failed" if why else "delivered", "id": entry["id"], "why": why}
            self._append({**outcome, "time": datetime.now(UTC).isoformat(timespec="seconds")})
            if why:
                LOG.error("alert %r was not delivered: %s; the next tick tries again", entry["title"], why)
                break
            sent += 1
        return sent

    def _entries(self) -> Iterator[dict[str, Any]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        for line in lines:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue  # a line cut short by a kill: its alert is raised again

    def _append(self, entry: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        cut = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a") as file:
            file.write(("\n" if cut else "") + json.dumps(entry, default=str) + "\n")


def slack_message(entry: dict[str, Any]) -> dict[str, Any]:
    """An alert as Slack's incoming webhooks take it: `text` for notifications, `blocks` for the page."""
    links = "   ".join(f"<{address}|{name}>" for name, address in entry["links"].items() if "://" in address)
    places = "   ".join(f"{name}: `{place}`" for name, place in entry["links"].items() if "://" not in place)
    facts = "\n".join(f"• {_escaped(line)}" for line in entry["lines"])
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": entry["title"][:150]}},
    ]
    for text in (facts, _escaped(entry["request"])):
        if text:
            blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": text[:3000]}})
    footer = "\n".join(part for part in (links, places) if part)
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": footer[:3000] or "Adprior"}]})
    summary = f"{MARKS[entry['kind']]} Adprior: {entry['title']}. {entry['request']}"
    return {"text": _escaped(summary.strip())[:3000], "blocks": blocks}


def send(address: str, message: dict[str, Any], settings: AlertSettings) -> str:
    """POST a message, trying again on refused connections, timeouts and 5xx or 429 answers.

    Returns:
        What went wrong, without the address; empty if it was delivered.
    """
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        total=settings.attempts - 1,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
        backoff_factor=0.5,
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    try:
        with _no_addresses_in_logs(), requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=retry))
            answer = session.post(address, json=message, timeout=settings.timeout_seconds, allow_redirects=False)
    except requests.RequestException as error:
        return f"{type(error).__name__} after {settings.attempts} attempts"  # its text would hold the address
    except ValueError as error:
        return f"the address in {settings.webhook_env} is malformed ({type(error).__name__})"
    return "" if answer.ok and not answer.is_redirect else f"the webhook answered {answer.status_code}"


@contextmanager
def _no_addresses_in_logs() -> Iterator[None]:
    """urllib3 logs the path of every request and retry, which for a webhook is the secret."""
    logger = logging.getLogger("urllib3")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _escaped(text: str) -> str:
    """Text as Slack's markup wants it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
