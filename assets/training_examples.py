"""Training examples: every user's stream up to the predictor cutoff, with a target at each conversion."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("training_examples"), kinds={"duckdb", "parquet"})
def training_examples(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Streams with their targets, as the Timeline allows, and the catalogue of that day."""
    from ml.contexts.examples import build_training_examples, targets_dropped
    from ml.contexts.store import write_examples

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings = stage.settings
    examples = build_training_examples(
        stage.workspace.lake, stage.timeline, settings.contexts, min_users=settings.catalogue.min_users
    )
    write_examples(examples, (work := stage.work()) / "examples")
    metrics = {
        "users": len(examples.contexts),
        "advertisers": len(examples.catalogue),
        "targets_outside_catalogue": targets_dropped(examples),
        "known_until": str(stage.timeline.predictor_cutoff),
    }
    return stage.publish(work, rows=len(examples.targets), metrics=metrics)
