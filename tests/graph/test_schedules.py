"""What each schedule asks for, on lakes in various states; no run is launched here."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from ml.artifacts import publish, work_dir
from ml.timeline import Window
from orchestration import plan, schedules
from orchestration.definitions import defs
from orchestration.graph import AFTER_CLOSE, NODES, RAW_TABLES
from orchestration.jobs import MODELS
from orchestration.settings import Settings, load_settings
from orchestration.stage import DAY_TAG, REDO_TAG, RETRAIN_TAG
from orchestration.workspace import Workspace

FIRST, YESTERDAY = date(2026, 3, 1), date(2026, 5, 6)
TICK = datetime(2026, 5, 7, 0, 30, tzinfo=UTC)


@pytest.fixture
def space(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("ADPRIOR_PROFILE", "tiny")
    monkeypatch.setenv("ADPRIOR_OUT", str(tmp_path))
    load_settings.cache_clear()
    yield Workspace()
    load_settings.cache_clear()


def ingest(space: Workspace, window: Window, lacking: tuple[date, ...] = ()) -> None:
    days = {day.isoformat(): "x" for day in window.days if day not in lacking}
    (space.root / "lake").mkdir(parents=True, exist_ok=True)
    (space.root / "lake" / "ingested.json").write_text(json.dumps({"days": days}))


def make(space: Workspace, asset: str, day: date) -> None:
    target, mark = plan.target(space, asset, day), plan.fingerprint(space, asset, day)
    publish(work_dir(target, mark), target, {"fingerprint": mark})


def tick(schedule: dg.ScheduleDefinition, at: datetime = TICK) -> tuple[list[dg.RunRequest], str | None]:
    with dg.instance_for_test() as instance:
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
        )
        found = schedule.evaluate_tick(context)
    return list(found.run_requests), found.skip_message


def test_daily_makes_yesterday_with_the_models_there_are(space):
    ingest(space, Window(FIRST, YESTERDAY - timedelta(days=1)))
    for name in MODELS:
        make(space, name, date(2026, 4, 22))
    (request,), skipped = tick(schedules.daily_schedule)
    assert skipped is None and request.partition_key == str(YESTERDAY)
    chosen = {key.to_user_string() for key in request.asset_selection}
    assert chosen == {*RAW_TABLES, *(n for n, node in NODES.items() if node.kind == "daily" and n not in AFTER_CLOSE)}


def test_daily_trains_where_there_is_no_model(space):
    ingest(space, Window(FIRST, YESTERDAY - timedelta(days=1)))
    (request,), _ = tick(schedules.daily_schedule)
    assert {dg.AssetKey(name) for name in MODELS} <= set(request.asset_selection)


def test_daily_trains_again_what_a_blocking_check_refused(space, monkeypatch):
    ingest(space, Window(FIRST, YESTERDAY - timedelta(days=1)))
    for name in MODELS:
        make(space, name, date(2026, 4, 22))
    monkeypatch.setattr("orchestration.runner.check_failed", lambda instance, defs, name, day: name == "advertiser_llm")
    (request,), _ = tick(schedules.daily_schedule)
    assert request.tags[REDO_TAG] == "advertiser_llm"
    chosen = {name for name in MODELS if dg.AssetKey(name) in request.asset_selection}
    built_on_it = {"past_predictions", "past_control_predictions", "candidate_quota", "ranker"}
    assert chosen == {"advertiser_llm", *built_on_it}


def test_daily_catches_up_with_late_days_oldest_first(space):
    late = (YESTERDAY - timedelta(days=3), YESTERDAY - timedelta(days=2), YESTERDAY - timedelta(days=30))
    ingest(space, Window(FIRST, YESTERDAY - timedelta(days=1)), lacking=late)
    requests, _ = tick(schedules.daily_schedule)
    assert [r.partition_key for r in requests] == [str(late[0]), str(late[1]), str(YESTERDAY)]
    again, _ = tick(schedules.daily_schedule, TICK + timedelta(hours=12))
    assert not {r.run_key for r in requests} & {r.run_key for r in again}, "a run that failed can be asked for again"


def test_daily_on_an_empty_lake_says_what_to_do(space):
    requests, skipped = tick(schedules.daily_schedule)
    assert not requests and "adprior backfill" in skipped


def test_daily_after_the_end_of_the_world_says_so(space):
    ingest(space, Window(FIRST, YESTERDAY))
    requests, skipped = tick(schedules.daily_schedule, TICK + timedelta(days=40))
    assert not requests and "2026-05-06" in skipped


def test_evaluation_waits_for_predictions_and_comes_once(space):
    ingest(space, Window(FIRST, YESTERDAY))
    closed = date(2026, 4, 22)
    assert "was not predicted" in tick(schedules.evaluate_schedule)[1]
    for name in NODES:
        if name not in AFTER_CLOSE:
            make(space, name, closed)
    (request,), _ = tick(schedules.evaluate_schedule)
    assert request.partition_key == str(closed)
    for name in AFTER_CLOSE:
        make(space, name, closed)
    assert "has its report" in tick(schedules.evaluate_schedule)[1]


def test_weekly_retraining_is_of_the_newest_day_and_only_with_newer_logs(space):
    ingest(space, Window(FIRST, YESTERDAY))
    for name in MODELS:
        make(space, name, date(2026, 4, 22))
    (request,), _ = tick(schedules.weekly_retraining)
    assert request.tags[RETRAIN_TAG] == "weekly" and request.tags[DAY_TAG] == str(YESTERDAY)
    for name in MODELS:
        version = plan.new_version(space, name, YESTERDAY)
        target = space.root / "models" / name / version
        publish(work_dir(target, version), target, {"fingerprint": version})
    assert "no newer logs" in tick(schedules.weekly_retraining)[1]


def test_cron_lines_follow_the_settings():
    when = Settings(schedules={"daily_at": "02:05", "retrain_on": "sunday", "retrain_at": "23:59"}).schedules
    assert (when.cron(when.daily_at), when.cron(when.retrain_at, when.retrain_on)) == ("5 2 * * *", "59 23 * * sun")
