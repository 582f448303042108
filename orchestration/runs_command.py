"""`adprior runs`: the newest Dagster runs, what each made, how it went, and in one line why it failed."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ml.report.formats import duration
from orchestration.dagster_home import use_dagster_home
from orchestration.last_run import settings_of_last_run
from orchestration.runner import PID_TAG
from orchestration.stage import REDO_TAG, RESUME_TAG
from orchestration.terminal import plain

OURS = (PID_TAG, RESUME_TAG, REDO_TAG)
"""Tags that say nothing to a reader."""
TOLD = ("dagster/schedule_name", "dagster/sensor_name", "dagster/backfill")
STYLES = {"SUCCESS": "green", "FAILURE": "red", "CANCELED": "yellow", "STARTED": "cyan"}


def runs_command(limit: int, *, as_json: bool) -> None:
    """Print the newest runs of the workspace."""
    import dagster as dg

    settings = settings_of_last_run()
    console = Console()
    if not (settings.workspace / "dagster").exists():
        print("[]") if as_json else _show([], console, str(settings.workspace))
        return
    use_dagster_home(settings.workspace)
    with dg.DagsterInstance.get() as instance:
        rows = [_row(instance, record) for record in instance.get_run_records(limit=limit)]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _show(rows, console, settings.workspace.name)


def _row(instance: Any, record: Any) -> dict[str, Any]:
    run = record.dagster_run
    began = record.start_time or record.create_timestamp.timestamp()
    open_ended = not run.is_finished
    seconds = (time.time() if open_ended else record.end_time or began) - began
    return {
        "run": run.run_id,
        "job": run.job_name,
        "assets": sorted(key.to_user_string() for key in run.asset_selection or ()),
        "partition": _partition(run.tags),
        "status": run.status.value,
        "began": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "reason": _reason(instance, run.run_id) if run.status.value == "FAILURE" else None,
        "tags": {k: v for k, v in run.tags.items() if _told(k)},
    }


def _told(tag: str) -> bool:
    return tag in TOLD or not (tag in OURS or tag.startswith((".dagster", "dagster/")))


def _partition(tags: dict[str, str]) -> str | None:
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    return tags.get("dagster/partition") or (f"{first} to {last}" if first else None)


def _reason(instance: Any, run_id: str) -> str:
    """First a failed blocking check, then the failing step's own error; one line."""
    import dagster as dg

    kinds = {
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.RUN_FAILURE,
    }
    events = [e.dagster_event for e in instance.all_logs(run_id, of_type=kinds) if e.dagster_event]
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.event_specific_data
            if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
                return _line(f"check {check.check_name} on {check.asset_key.to_user_string()}: {check.description}")
    for event in events:
        error = getattr(event.event_specific_data, "error", None)
        if error is not None:
            while error.cause:
                error = error.cause
            where = f"{event.step_key}: " if event.step_key else ""
            return _line(where + error.message)
    return "no reason recorded; `adprior ui` shows the run"


def _line(text: str) -> str:
    """One line out of a message of several: what, where and remedy stay apart."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return plain("; ".join(lines))


def _show(rows: list[dict[str, Any]], console: Console, name: str) -> None:
    if not rows:
        other = "--profile, --source and --out name another place"
        console.print(f"No run yet in {name}. `adprior run` makes one; {other}.", soft_wrap=True)
        return
    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True, header_style="bold")
    for column in ("run", "began (UTC)", "job", "day", "status", "took"):
        wraps = {"job": 15, "day": 10}  # at blanks: the longest word must fit
        justify: Any = "right" if column == "took" else "left"
        table.add_column(column, no_wrap=column not in wraps, min_width=wraps.get(column), justify=justify)
    for row in rows:
        began = row["began"].replace("T", " ")[:16]
        status = Text(row["status"].lower(), style=STYLES.get(row["status"], ""))
        table.add_row(row["run"][:8], began, _job(row), row["partition"] or "-", status, duration(row["seconds"]))
    console.print(f"Dagster runs of {name}, the newest first:", table)
    for row in rows:
        if told := [f"{key.removeprefix('dagster/')}={value}" for key, value in sorted(row["tags"].items())]:
            console.print(Text(f"{row['run'][:8]}  {', '.join(told)}", style="dim"))
        if row["reason"]:
            console.print(Text.assemble((f"{row['run'][:8]}  failed  ", "red"), row["reason"]))


def _job(row: dict[str, Any]) -> str:
    """The job; with few assets selected, which."""
    if 0 < len(row["assets"]) <= 3:
        return f"{row['job']}: {', '.join(row['assets'])}"
    return f"{row['job']}" + (f" ({len(row['assets'])} assets)" if row["assets"] else "")
