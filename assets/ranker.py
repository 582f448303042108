"""The ranker: XGBoost probability of a conversion, with the LLM's priors as features, calibrated and registered."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource
from orchestration.tracking import MLflowTracking


@dg.asset(**asset_arguments("ranker"), kinds={"xgboost", "mlflow"})
def ranker(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource, mlflow: MLflowTracking
) -> dg.MaterializeResult:
    """One ranker per arm on the same rows: none, llm (the registered one), placebo."""
    from ml.predictors.predictions import read_predictions
    from ml.ranking.training import train_arms

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings = stage.settings
    priors, timeline = read_predictions(stage.input("past_predictions")), stage.timeline_of("past_predictions")
    with mlflow.run(stage, "ranker", f"xgboost {stage.target.name}") as run:
        run.params({**settings.ranker.model_dump(), "seed": settings.seed})
        work, lake = stage.work(), stage.workspace.lake
        trained = train_arms(
            lake, timeline, priors, settings.ranker, seed=settings.seed, directory=work, progress=stage.progress
        )
        metrics = {f"rows_{split}": rows for split, rows in trained.rows.items()}
        metrics |= {f"positives_{split}": rows for split, rows in trained.positives.items()}
        metrics |= {f"trees_{arm}": model.rounds for arm, model in trained.rankers.items()}
        run.metrics(metrics)
        version = run.register("ranker", work / "llm", loader="ranker", champion=True)
    links = {"mlflow_run": dg.MetadataValue.url(run.url), "registered_version": version}
    return stage.publish(
        work,
        rows=trained.rows["train"],
        metrics=metrics,
        metadata=links,
        ranker_rows=trained.rows,
        known_until=str(stage.day),
    )
