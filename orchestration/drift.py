"""Drift as stages and the sensor see it: ingest counts, the training behind a reference, the reports so far."""

from __future__ import annotations

import json

import pandas as pd

from ml.monitoring.policy import DayReport
from orchestration import ingested, plan
from orchestration.graph import RAW_TABLES
from orchestration.stage import Stage
from orchestration.workspace import Workspace


def volumes(workspace: Workspace) -> dict[str, pd.DataFrame]:
    """Columns day, rows, quarantined of every raw table."""
    return {table: ingested.volumes(workspace, table) for table in RAW_TABLES}


def reference_facts(stage: Stage) -> dict[str, str]:
    """Which reference a report is against, and the snapshot day of the training that it belongs to."""
    directory = stage.input("drift_reference")
    trained_on = stage.workspace.manifest(directory)["trained_on"]
    return {"reference_version": directory.name, "trained_on": trained_on}


def reports(workspace: Workspace, most: int = 60) -> list[DayReport]:
    """The newest drift reports, oldest first; those on bins of other settings do not count."""
    recipe = plan.recipe(workspace, "drift_reference")
    found = []
    for directory in workspace.tables("drift_report")[-most:]:
        report = json.loads((workspace.fetch(directory) / "report.json").read_text())
        if report["reference_version"].endswith(f"-{recipe}"):
            found.append(DayReport.from_json(report))
    return found
