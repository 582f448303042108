"""Checks of the drift report: they warn, so that a drifting day is still predicted; the drift sensor acts on it."""

import json

import dagster as dg

from orchestration.check_results import markdown, plain
from orchestration.resources import WorkspaceResource
from orchestration.stage import Finished


@dg.asset_check(asset="drift_report", description="People and catalogue are like those of the training window; warns.")
def no_drift(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Population stability and unseen advertisers."""
    return _of(context, workspace, ("input", "unseen"))


@dg.asset_check(asset="drift_report", description="No column goes missing, few rows are in quarantine; warns.")
def no_data_fault(context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource) -> dg.AssetCheckResult:
    """Missing values and quarantined rows: faults of the delivery, on which nobody should retrain."""
    return _of(context, workspace, ("missing", "quarantine"))


def _of(
    context: dg.AssetCheckExecutionContext, workspace: WorkspaceResource, concerns: tuple[str, ...]
) -> dg.AssetCheckResult:
    from ml.monitoring.table import line, sentence

    report = json.loads((Finished(context, workspace.open(), "drift_report").directory / "report.json").read_text())
    rows = [row for row in report["rows"] if row["concern"] in concerns]
    found = [row for row in rows if row["verdict"] in ("warn", "alert")]
    judged = sum(row["verdict"] != "too_few" for row in rows)
    said = "; ".join(map(sentence, found)) or f"{judged} of {len(rows)} rows judged, none over its threshold"
    return plain(not found, said, warn_only=True, rows=markdown([line(row) for row in found or rows]))
