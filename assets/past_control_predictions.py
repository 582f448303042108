"""Past control predictions: what the other sources would have said at past snapshots, priors of the ranker's arms."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("past_control_predictions"), kinds={"numpy", "parquet"})
def past_control_predictions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Every source without a language model, and both blends, at the snapshots and for the users of the LLM's."""
    from ml.contexts.store import read_examples
    from ml.predictors.past_controls import predict_past_controls
    from ml.predictors.predictions import read_predictions, write_predictions
    from orchestration.controls import blending_of, tuned_settings

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    examples = read_examples(stage.input("training_examples") / "examples")
    past = read_predictions(stage.input("past_predictions"))
    predictions = predict_past_controls(
        examples,
        stage.workspace.lake,
        past[past["source"] == "llm"],
        tuned_settings(stage),
        blending_of(stage, examples),
        stage.settings.contexts,
        min_users=stage.settings.catalogue.min_users,
        k=stage.settings.predictions.top_k,
        progress=stage.progress,
    )
    write_predictions(predictions, work := stage.work())
    metrics = {"sources": predictions["source"].nunique(), "snapshots": predictions["day"].nunique()}
    return stage.publish(work, rows=len(predictions), metrics=metrics)
