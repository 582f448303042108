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
    with mlflow.run(stage, "evaluation", f"{stage.settings.source} {stage.settings.profile} {stage.day}") as run:
        run.params({"as_of": stage.day, "seed": stage.settings.seed, "llm": stage.input("advertiser_llm").name})
        run.metrics(metrics)
        run.artifacts(work / "results.json")
    links = {"mlflow_run": dg.MetadataValue.url(run.url)}
    return stage.publish(work, rows=results["counts"]["test_users"], metrics=metrics, metadata=links)
