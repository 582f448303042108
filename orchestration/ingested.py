"""What the lake has taken in: rows and quarantined rows by table and day, kept in `lake/ingested.json`.

The checks of the raw tables read it, and a resumed run tells from it which days need no second ingest.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from ml.artifacts import write_json
from ml.sources.ingest import IngestReport
from ml.timeline import Window
from orchestration.workspace import Workspace


def read(workspace: Workspace) -> dict[str, Any]:
    """{"days": {day: fingerprint of its delivery}, "tables": {table: {day: {"rows", "quarantined"}}}, ...}."""
    path = workspace.root / "lake" / "ingested.json"
    empty: dict[str, Any] = {"days": {}, "tables": {}, "examples": {}, "seconds": 0.0, "dagster_run_id": ""}
    return empty | json.loads(path.read_text()) if path.exists() else empty


def update(workspace: Workspace, window: Window, report: IngestReport, *, seconds: float, run_id: str) -> None:
    """Record an ingest of the days of `window`."""
    record = read(workspace)
    record["days"] |= {day.isoformat(): workspace.source.fingerprint(day) for day in window.days}
    record |= {"seconds": seconds, "dagster_run_id": run_id}
    for name, table in report.tables.items():
        days = record["tables"].setdefault(name, {})
        for day in window.days:
            days[day.isoformat()] = {
                "rows": table.rows_by_day.get(day, 0),
                "quarantined": table.quarantined_by_day.get(day, 0),
            }
        record["examples"][name] = table.examples
    write_json(workspace.root / "lake" / "ingested.json", record)


def volumes(workspace: Workspace, table: str) -> pd.DataFrame:
    """Columns day (ISO), rows, quarantined of one table, oldest first."""
    days = read(workspace)["tables"].get(table, {})
    return pd.DataFrame(
        [{"day": day, **counts} for day, counts in sorted(days.items())], columns=["day", "rows", "quarantined"]
    )


def examples(workspace: Workspace, table: str) -> list[dict[str, Any]]:
    """Some quarantined rows of the newest ingest of a table."""
    rows: list[dict[str, Any]] = read(workspace)["examples"].get(table, [])
    return rows
