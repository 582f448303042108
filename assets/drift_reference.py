"""Drift reference: what the data looked like in the window that the models were trained on."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("drift_reference"), kinds={"duckdb", "json"})
def drift_reference(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Bins of every watched feature with their counts, usual shares of missing values, advertisers seen in training."""
    from ml.monitoring.reference import build_reference

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    timeline, settings = stage.timeline_of("training_examples"), stage.settings
    reference = build_reference(
        stage.workspace.lake,
        timeline.predictor_cutoff,
        settings.drift,
        settle_days=settings.timeline.outcome_days,
    )
    reference.save((work := stage.work()) / "reference.json")
    metrics = {
        "first_day": str(reference.first),
        "last_day": str(reference.last),
        "advertisers_seen": len(reference.seen),
        "reference_fingerprint": reference.fingerprint,
    }
    return stage.publish(work, rows=len(reference.features), metrics=metrics, trained_on=str(timeline.as_of))
