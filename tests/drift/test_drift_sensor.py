"""The drift sensor on a real Dagster instance: what it requests and tells, once each, whatever is restarted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from ml.artifacts import publish, work_dir, write_json
from orchestration import plan
from orchestration.definitions import defs
from orchestration.resources import WorkspaceResource
from orchestration.sensors import drift_sensor
from orchestration.settings import load_settings
from orchestration.stage import DAY_TAG, RETRAIN_TAG
from orchestration.workspace import Workspace
from tests.drift.webhook import SECRET, webhook

START = date(2026, 5, 1)


class House:
    """A workspace and its Dagster instance; `tick` does what the daemon does with the sensor."""

    def __init__(self, root: Path) -> None:
        (root / "dagster").mkdir()
        (root / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        self.instance = dg.DagsterInstance.local_temp(str(root / "dagster"))
        self.space, self.cursor = Workspace(), None
        self.used: set[str] = set()

    def morning(self, number: int, kind: str) -> None:
        """A drift report: `.` quiet, `a` a feature drifts, `!` a table is at fault."""
        day = START + timedelta(days=number)
        row: dict[str, Any] = {
            "feature": "activity_category", "title": "category of searches and visits", "concern": "input",
            "statistic": "psi", "value": 0.6, "threshold": 0.2, "n": 300, "verdict": "alert",
            "moved": [{"value": "hotels", "reference": 0.1, "now": 0.4}],
        }  # fmt: skip
        if kind == "!":
            row |= {"feature": "activity.quarantined", "title": "rows of activity in quarantine", "statistic": "share"}
            row |= {"concern": "quarantine", "value": 0.3, "threshold": 0.01}
        report = {
            "day": str(day), "first": str(day - timedelta(days=6)), "trained_on": "2026-04-15",
            "reference_first": "2026-03-01", "reference_last": "2026-03-28", "rows": [row] if kind != "." else [],
            "reference_version": f"2026-04-15-{plan.recipe(self.space, 'drift_reference')}",
        }  # fmt: skip
        target = self.space.table("drift_report", day)
        write_json((work := work_dir(self.space.beside(target), str(day))) / "report.json", report)
        publish(work, target, {"fingerprint": str(day)})
        made = dg.AssetMaterialization("drift_report", partition=str(day))
        self.instance.report_runless_asset_event(made)

    def tick(self, *, crash: bool = False) -> list[dg.RunRequest]:
        """Evaluate; launch what is requested, once per run key. After a crash neither runs nor cursor are kept."""
        resources = {"workspace": WorkspaceResource(root=str(self.space.root))}
        with dg.build_sensor_context(
            self.instance, cursor=self.cursor, resources=resources, definitions=defs
        ) as context:
            result = drift_sensor(context)
        assert isinstance(result, dg.SensorResult)
        if crash:
            return []
        self.cursor = result.cursor
        new = [r for r in result.run_requests or [] if r.run_key not in self.used]
        for request in new:
            self.used.add(request.run_key or "")
            self.run(request.tags)
        return new

    def run(self, tags: Any) -> None:
        create_run_for_test(self.instance, job_name="retrain", tags=dict(tags), status=dg.DagsterRunStatus.STARTED)

    def alerts(self) -> list[dict[str, Any]]:
        path = self.space.root / "alerts.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["event"] == "alert"]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("ADPRIOR_PROFILE", "tiny")
    monkeypatch.setenv("ADPRIOR_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("ADPRIOR_ALERTS__TIMEOUT_SECONDS", "0.5")
    monkeypatch.setenv("ADPRIOR_ALERTS__ATTEMPTS", "1")
    monkeypatch.delenv("ADPRIOR_ALERT_WEBHOOK", raising=False)
    load_settings.cache_clear()
    yield House(tmp_path)
    load_settings.cache_clear()


def live(house: House, pattern: str, start: int = 0) -> list[dg.RunRequest]:
    """A report a day, and a tick after each."""
    requests = []
    for number, kind in enumerate(pattern, start):
        house.morning(number, kind)
        requests += house.tick()
    return requests


def test_a_request_has_its_reason_day_and_features(house: House) -> None:
    (request,) = live(house, "...aaaa")
    assert request.job_name == "retrain" and request.run_key == "drift 2026-05-05"
    assert request.tags[RETRAIN_TAG] == "drift since 2026-05-04: activity_category"
    assert request.tags[DAY_TAG] == "2026-05-05" and request.tags["adprior/drift"] == "activity_category"
    (alert,) = house.alerts()
    assert alert["request"] == "Requested a retraining of all models for 2026-05-05."
    assert "category of searches and visits: PSI 0.60 (alerts from 0.2, n = 300)" in alert["lines"][0]
    assert alert["links"]["drift_report in Dagster"].endswith("/drift_report?view=partitions&partition=2026-05-05")
    assert Path(alert["links"]["report"]).exists()


def test_three_quiet_weeks_are_silent(house: House) -> None:
    assert live(house, "." * 21) == [] and house.alerts() == []


def test_cooldown_and_weekly_maximum(house: House) -> None:
    requests = live(house, "." + "a" * 16)
    assert [r.tags[DAY_TAG] for r in requests] == ["2026-05-03", "2026-05-10", "2026-05-17"]


def test_a_retraining_by_schedule_starts_the_cooldown(house: House) -> None:
    house.run({DAY_TAG: "2026-05-04", RETRAIN_TAG: "weekly"})
    assert [r.tags[DAY_TAG] for r in live(house, "...aaaaaaaaa")] == ["2026-05-11"]
    assert "a training for 2026-05-04 was done or requested" in house.alerts()[0]["request"]


def test_a_failed_run_is_requested_again_by_the_next_day_if_the_week_allows(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADPRIOR_DRIFT__MAX_RETRAINS_PER_WEEK", "2")
    load_settings.cache_clear()
    house.space = Workspace()
    live(house, "...aa")
    (run,) = house.instance.get_runs(filters=dg.RunsFilter(job_name="retrain"))
    house.instance.report_run_failed(run)
    assert [r.tags[DAY_TAG] for r in live(house, "aaaaa", start=5)] == ["2026-05-06"]


def test_faulty_data_alerts_and_never_retrains(house: House) -> None:
    assert live(house, "..!!!!") == []
    (alert,) = house.alerts()
    assert alert["kind"] == "fault" and "must not learn from faulty data" in alert["request"]
    assert live(house, "aaaaaa", start=6) == [], "the faulty days still lie in the compared weeks"
    assert [a["kind"] for a in house.alerts()] == ["fault", "drift"]


def test_a_tick_without_anything_new_asks_for_nothing_and_keeps_the_cursor(house: House) -> None:
    assert house.tick() == []
    live(house, "...aa")
    before, cursor = house.alerts(), house.cursor
    assert house.tick() == [] and house.alerts() == before and house.cursor == cursor


def test_a_report_made_again_changes_nothing(house: House) -> None:
    live(house, "...aa")
    house.morning(4, "a")
    assert house.tick() == [] and len(house.alerts()) == 1


def test_a_crash_loses_neither_request_nor_alert_and_repeats_neither(house: House) -> None:
    live(house, "...a")
    house.morning(4, "a")
    house.tick(crash=True)  # told, but the request was never launched
    assert [r.tags[DAY_TAG] for r in house.tick()] == ["2026-05-05"]
    assert len(house.alerts()) == 1


def test_a_lost_cursor_repeats_nothing(house: House) -> None:
    live(house, "...aa")
    house.cursor, house.used = None, set()
    assert house.tick() == [] and len(house.alerts()) == 1


def test_a_fortnight_backfilled_at_once_asks_for_one_retraining(house: House) -> None:
    for number in range(14):
        house.morning(number, "a" if number > 3 else ".")
    assert [r.tags[DAY_TAG] for r in house.tick()] == ["2026-05-14"]
    assert house.tick() == []


def test_a_webhook_that_is_down_stops_nothing_and_gets_the_alert_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook(500) as hook:
        monkeypatch.setenv("ADPRIOR_ALERT_WEBHOOK", hook.address)
        assert len(live(house, "...aa")) == 1 and hook.messages == []
        hook.answers = [200]
        assert house.tick() == []
        (message,) = hook.messages
        house.tick()
        assert hook.messages == [message], "delivered once"
    assert "Drift since 2026-05-04" in message["text"]
    assert SECRET not in (house.space.root / "alerts.jsonl").read_text()


def test_a_day_stopped_by_a_blocking_check_alerts_once_and_never_retrains(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream export writes advertisers in another format: through the real ingest and its real checks."""
    world = {"users": 150, "advertisers": 20, "ads": 60, "days": 6, "outcome_days": 1, "warm_up_days": 6}
    for name, value in {**world, "scenario": "broken_column", "scenario_day": 5}.items():
        monkeypatch.setenv(f"ADPRIOR_WORLD__{name.upper()}", str(value))
    load_settings.cache_clear()
    house.space = Workspace()
    days = {"start": "2026-03-01", "end": "2026-03-06"}
    result = defs.resolve_job_def("ingest_raw_logs").execute_in_process(
        instance=house.instance,
        tags={f"dagster/asset_partition_range_{name}": day for name, day in days.items()},
        raise_on_error=False,
    )
    assert not result.success
    assert house.tick() == []
    (alert,) = house.alerts()
    assert alert["title"] == "Data fault: 2026-03-06 was stopped, failed: volume of activity"
    assert "rows in quarantine" in alert["lines"][0] and "must not learn from faulty data" in alert["request"]
    assert alert["links"]["checks of activity in Dagster"].endswith("/assets/activity?view=checks")
    house.cursor = None
    assert house.tick() == [] and len(house.alerts()) == 1


def test_the_sensor_is_off_until_somebody_switches_it_on() -> None:
    assert drift_sensor.default_status == dg.DefaultSensorStatus.STOPPED
