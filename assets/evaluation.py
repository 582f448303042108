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
    from ml.evaluation.results import headline_metrics
    from orchestration.evaluate import evaluate_day

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    results = evaluate_day(stage)
    write_json((work := stage.work()) / "results.json", results)
    metrics = headline_metrics(results)
    name = f"{stage.settings.source} {stage.settings.profile} {stage.day} {stage.fingerprint[:6]}"
    with mlflow.run(stage, "evaluation", name) as run:
        run.settings(stage.settings)
        run.params(
            {"model." + asset: stage.input(asset).name for asset in ("advertiser_llm", "retrieval_model", "ranker")}
        )
        run.metrics(metrics)
        run.artifacts(work / "results.json")
    links = {"mlflow_run": dg.MetadataValue.url(run.url)}
    return stage.publish(work, rows=results["counts"]["test_users"], metrics=metrics, metadata=links)
