"""`make run`: materialize the whole graph for one snapshot day through Dagster, resuming what a killed run left.

Two Dagster runs: the raw tables for every day the source has, then everything else for the snapshot day.
Only stages that are not published and up to date, or whose blocking checks have not passed, are selected.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from typing import Any

import dagster as dg
import psutil
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

from ml import snapshot_day
from ml.timeline import Window
from orchestration import plan
from orchestration.graph import AFTER_CLOSE, NODES, RAW_TABLES
from orchestration.stage import REDO_TAG, RESUME_TAG
from orchestration.terminal import display
from orchestration.workspace import Workspace

PID_TAG = "adprior/pid"
CHECK_HISTORY = 400
"""Newest evaluations of a check among which those of a day are looked for."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailed(Exception):
    """A stage or a blocking check failed; the message says which and why."""


def run_everything(workspace: Workspace, definitions: dg.Definitions, instance: dg.DagsterInstance) -> date:
    """Materialize what is unfinished; returns the snapshot day.

    Raises:
        BadInput, RunFailed: nothing downstream of the failure was run.
    """
    close_abandoned_runs(instance)
    days = workspace.source.window()
    day, closed = choose_day(workspace, days)
    ingest_unfinished(workspace, definitions, instance, days)
    wanted = [name for name in NODES if closed or name not in AFTER_CLOSE]
    make_unfinished(workspace, definitions, instance, day, wanted)
    return day


def ingest_unfinished(
    workspace: Workspace, definitions: dg.Definitions, instance: dg.DagsterInstance, days: Window
) -> None:
    """Ingest, in one run, from the first of these days that is not in the lake as delivered to the last such day."""
    days = Window(max(days.first, workspace.settings.first_day), days.last)
    done = plan.ingested(workspace)
    todo = [day for day in days.days if done.get(day.isoformat()) != workspace.source.fingerprint(day)]
    if not todo and checks_passed(instance, definitions, RAW_TABLES):
        return display().skipped("raw_logs")
    refused = not todo and any(_refused(instance, definitions, name, None) for name in RAW_TABLES)
    todo = todo or days.days
    tags = {
        REDO_TAG: "raw_logs" if refused else "",
        "dagster/asset_partition_range_start": todo[0].isoformat(),
        "dagster/asset_partition_range_end": todo[-1].isoformat(),
    }
    return _execute(definitions, "ingest_raw_logs", instance, tags=tags)


def make_unfinished(
    workspace: Workspace, definitions: dg.Definitions, instance: dg.DagsterInstance, day: date, wanted: list[str]
) -> None:
    """Make, in one run, what of these assets is not finished for the day."""
    todo = [name for name in wanted if not finished(workspace, instance, definitions, name, day)]
    for name in wanted:
        if name not in todo:
            display().skipped(name)
    if todo:
        again = [name for name in todo if check_failed(instance, definitions, name, day)]
        tags = {REDO_TAG: ",".join(again)}
        _execute(definitions, "snapshot_day", instance, tags=tags, partition_key=day.isoformat(), selection=todo)


def choose_day(workspace: Workspace, days: Window) -> tuple[date, bool]:
    """The snapshot day, and whether its outcomes are all in the logs.

    Raises:
        BadInput: the logs do not reach back far enough, or the day is not in them.
    """
    chosen = snapshot_day.choose_day(days, workspace.settings.timeline, workspace.settings.as_of)
    return chosen.as_of, chosen.closed


def finished(
    workspace: Workspace, instance: dg.DagsterInstance, definitions: dg.Definitions, asset: str, day: date
) -> bool:
    """Is the asset published, up to date, and were its blocking checks passed after that?"""
    manifest = plan.published(workspace, asset, day)
    return manifest is not None and checks_passed(instance, definitions, [asset], day)


def checks_passed(
    instance: dg.DagsterInstance, definitions: dg.Definitions, assets: Iterable[str], day: date | None = None
) -> bool:
    """Did the newest evaluation of every blocking check of these assets pass, after their newest materialization?

    Args:
        day: only what runs for this day made of daily assets counts; None takes every run.
    """
    for asset in assets:
        mine = day if asset in NODES and NODES[asset].kind == "daily" else None
        partitions = [mine.isoformat()] if mine else None
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=partitions)
        made = instance.fetch_materializations(wanted, limit=1).records
        if not made:
            return False
        for record in _blocking_checks(instance, definitions, asset, mine):
            if record is None or record.status != Status.SUCCEEDED or record.create_timestamp < made[0].timestamp - 1:
                return False
    return True


def check_failed(instance: dg.DagsterInstance, definitions: dg.Definitions, asset: str, day: date) -> bool:
    """Did a blocking check of the asset fail? Then its result is not taken over but made again."""
    return _refused(instance, definitions, asset, day if NODES[asset].kind == "daily" else None)


def _refused(instance: dg.DagsterInstance, definitions: dg.Definitions, asset: str, day: date | None) -> bool:
    records = _blocking_checks(instance, definitions, asset, day)
    return any(record is not None and record.status == Status.FAILED for record in records)


def _blocking_checks(
    instance: dg.DagsterInstance, definitions: dg.Definitions, asset: str, day: date | None
) -> list[AssetCheckExecutionRecord | None]:
    """Newest record of every blocking check, in runs for `day` only if one is given."""
    graph = definitions.resolve_asset_graph()
    keys = [key for key in graph.get_check_keys_for_assets({dg.AssetKey(asset)}) if graph.get(key).blocking]
    if day is None:
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        return [found.get(key) for key in keys]
    for_day = dg.RunsFilter(tags={"dagster/partition": day.isoformat()})
    runs = {run.run_id for run in instance.get_runs(for_day)}
    history = [instance.event_log_storage.get_asset_check_execution_history(key, limit=CHECK_HISTORY) for key in keys]
    return [next((record for record in records if record.run_id in runs), None) for records in history]


def close_abandoned_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs of killed `make run` processes as canceled, so that the UI does not show them running for ever."""
    open_runs = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(filters=open_runs):
        pid = run.tags.get(PID_TAG)
        if pid and not psutil.pid_exists(int(pid)):
            instance.report_run_canceled(
                run, message="The process of this run was killed; `make run` resumed its work."
            )


def _execute(
    definitions: dg.Definitions,
    job: str,
    instance: dg.DagsterInstance,
    *,
    tags: dict[str, str] | None = None,
    partition_key: str | None = None,
    selection: list[str] | None = None,
) -> None:
    try:
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            run_config=QUIET,
            partition_key=partition_key,
            asset_selection=[dg.AssetKey(name) for name in selection] if selection else None,
            tags={RESUME_TAG: "true", PID_TAG: str(os.getpid()), **(tags or {})},
            raise_on_error=False,
        )
    except DagsterExecutionInterruptedError:  # between two steps
        raise KeyboardInterrupt from None
    if any("Interrupted" in error.cls_name for error in _errors(result)):
        raise KeyboardInterrupt
    if not result.success:
        raise RunFailed(_reason(result))


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """First what went wrong in the input, then failed checks, then the failing step's error."""
    lines = []
    for event in result.get_asset_check_evaluations():
        if not event.passed and event.severity == dg.AssetCheckSeverity.ERROR:
            lines.append(f"check {event.check_name} on {event.asset_key.to_user_string()} failed: {event.description}")
    for event in result.all_events:
        if event.is_step_failure and event.event_specific_data.error:
            error = event.event_specific_data.error
            cause = error.cause or error
            if "DagsterAssetCheckFailedError" not in f"{error.cls_name}{cause.cls_name}":
                lines.append(f"{event.step_key}: {cause.message.strip()}")
    return "\n".join(lines) or f"run {result.run_id} failed; see the Dagster UI"


def _errors(result: dg.ExecuteInProcessResult) -> list[Any]:
    """Errors of failed steps, each with its cause."""
    found = [
        e.event_specific_data.error for e in result.all_events if e.is_step_failure and e.event_specific_data.error
    ]
    return [error for outer in found for error in (outer, outer.cause) if error is not None]
