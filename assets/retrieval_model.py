"""The conventional generator's model: a matrix factorisation of who clicked and converted on which ad."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource
from orchestration.tracking import MLflowTracking


@dg.asset(**asset_arguments("retrieval_model"), kinds={"implicit", "mlflow"})
def retrieval_model(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource, mlflow: MLflowTracking
) -> dg.MaterializeResult:
    """User and ad vectors by alternating least squares, and the day's eligible ads by popularity."""
    from ml.candidates.matrix_factorization import fit

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings = stage.settings.candidates
    with mlflow.run(stage, "ad-retrieval", f"als {stage.target.name}") as run:
        run.params({**settings.model_dump(), "seed": stage.settings.seed})
        retrieval = fit(stage.workspace.lake, stage.day, settings, seed=stage.settings.seed)
        retrieval.save(work := stage.work())
        metrics = {"users": len(retrieval.user_ids), "ads": len(retrieval.ads)}
        run.metrics(metrics)
        version = run.register("retrieval_model", work, loader="retrieval_model", champion=True)
    links = {"mlflow_run": dg.MetadataValue.url(run.url), "registered_version": version}
    return stage.publish(work, rows=metrics["users"], metrics=metrics, metadata=links, known_until=str(stage.day))
