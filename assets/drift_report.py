"""Drift report: the last week against the training window, feature by feature, and faults of the delivery."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("drift_report"), kinds={"duckdb", "json"})
def drift_report(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Population stability of profiles, events, categories and advertisers; unseen advertisers; data faults."""
    from ml.artifacts import write_json
    from ml.monitoring.drift import measure_drift
    from ml.monitoring.reference import DriftReference
    from ml.monitoring.table import lines
    from orchestration.check_results import markdown
    from orchestration.drift import reference_facts, volumes

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    reference = DriftReference.load(stage.input("drift_reference") / "reference.json")
    space = stage.workspace
    report = measure_drift(space.lake, stage.day, reference, volumes(space), stage.settings.drift)
    facts = reference_facts(stage)
    write_json((work := stage.work()) / "report.json", {**report.as_json(), **facts})
    alerting = [row.feature for row in report.rows if row.verdict == "alert"]
    metrics = {"drift": report.input, "data_fault": report.fault, "alerting": ", ".join(alerting) or "none"}
    table = {"features": markdown(lines(report))}
    return stage.publish(work, rows=len(report.rows), metrics=metrics, metadata=table, **facts)
