"""The ranker: XGBoost pCTR and pCVR, with the LLM's priors as features; calibrated and registered."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource
from orchestration.tracking import MLflowTracking

PRIORS = ("past_predictions", "past_control_predictions")


@dg.asset(**asset_arguments("ranker"), kinds={"xgboost", "mlflow"})
def ranker(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource, mlflow: MLflowTracking
) -> dg.MaterializeResult:
    """One model per arm on the same rows: none, llm (the registered one), every other source, blends, placebo."""
    import pandas as pd

    from ml.llm.interests import read_interests
    from ml.predictors.predictions import read_predictions
    from ml.ranking.interests import with_interests
    from ml.ranking.training import REGISTERED, train_arms
    from ml.report.metric_names import ranker_metrics
    from orchestration import datasets

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings, lake, work = stage.settings, stage.workspace.lake, stage.work()
    timeline = stage.timeline_of("past_predictions")
    predictions = pd.concat([read_predictions(stage.input(name)) for name in PRIORS], ignore_index=True)
    tables = {str(source): table for source, table in predictions.groupby("source")}
    priors = with_interests(tables, read_interests(stage.input("past_predictions")))
    with mlflow.run(stage) as run:
        for name in PRIORS:
            run.dataset(datasets.table(stage, name), "training")
        run.dataset(datasets.raw_logs(stage, timeline.as_of), "training")
        trained = train_arms(
            lake, timeline, priors, settings.ranker, seed=settings.seed, directory=work, progress=stage.progress
        )
        metrics = ranker_metrics(trained.quality, trained.sizes, trained.trees)
        headline = ("calibration/llm/auc", "calibration/none/auc")
        run.register(work / REGISTERED, loader="ranker", champion=True, metrics=metrics, headline=headline)
    return stage.publish(
        work,
        rows=trained.rows["train"],
        metrics=trained.sizes | {f"trees_{arm}": trees for arm, trees in trained.trees.items()},
        metadata=run.links,
        ranker_rows=trained.rows,
        known_until=str(stage.day),
        **run.facts,
    )
