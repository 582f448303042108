"""What the lake has taken in: rows and quarantined rows by table and day, kept in `lake/ingested.json`.

The checks of the raw tables read it, and a resumed run tells from it which days need no second ingest.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from ml.artifacts import write_json
from ml.sources.contract import TABLES
from ml.sources.ingest import IngestReport
from ml.timeline import Window
from orchestration.workspace import Workspace


def read(workspace: Workspace) -> dict[str, Any]:
    """{"days": {day: fingerprint of its delivery}, "tables": {table: {day: {"rows", "quarantined"}}}, ...}."""
    empty: dict[str, Any] = {"days": {}, "tables": {}, "examples": {}, "seconds": 0.0, "dagster_run_id": ""}
    return empty | workspace.ingested()


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
    write_json(workspace.lake.root / "ingested.json", record)


def counts(workspace: Workspace, window: Window) -> dict[str, dict[str, int]] | None:
    """Rows and quarantined rows of every table in these days; None unless all are in the lake as delivered now."""
    record = read(workspace)
    if any(record["days"].get(day.isoformat()) != workspace.source.fingerprint(day) for day in window.days):
        return None
    found: dict[str, dict[str, int]] = {}
    for name in TABLES:
        days = record["tables"].get(name, {})
        mine = [days[day.isoformat()] for day in window.days if day.isoformat() in days]
        found[name] = {column: sum(day[column] for day in mine) for column in ("rows", "quarantined")}
    return found


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
