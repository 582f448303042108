"""Evaluation: every source, retrieval arm and ranker arm on the users whose label window has closed."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource
from orchestration.tracking import MLflowTracking


@dg.asset(**asset_arguments("evaluation"), kinds={"numpy", "mlflow"})
def evaluation(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource, mlflow: MLflowTracking
) -> dg.MaterializeResult:
    """Recall, retrieval at equal budget and ranker quality, with paired 95 % intervals over users."""
    from ml.artifacts import write_json
    from ml.report.metric_names import evaluation_metrics
    from orchestration.evaluate import evaluate_day
    from orchestration.evaluation_run import log_evaluation

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    with mlflow.run(stage) as run:
        results = evaluate_day(stage)
        write_json((work := stage.work()) / "results.json", results)
        log_evaluation(run, results)
    metrics = evaluation_metrics(results)
    return stage.publish(work, rows=results["counts"]["test_users"], metrics=metrics, metadata=run.links, **run.facts)
