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
    from ml.report.metric_names import volumes
    from orchestration import datasets

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    with mlflow.run(stage) as run:
        run.dataset(datasets.raw_logs(stage, stage.day), "training")
        retrieval = fit(stage.workspace.lake, stage.day, stage.settings.candidates, seed=stage.settings.seed)
        retrieval.save(work := stage.work())
        sizes = {"users": len(retrieval.user_ids), "ads": len(retrieval.ads)}
        names = tuple(metrics := volumes(sizes))
        run.register(work, loader="retrieval_model", champion=True, metrics=metrics, headline=names)
    return stage.publish(
        work, rows=sizes["users"], metrics=sizes, metadata=run.links, known_until=str(stage.day), **run.facts
    )
