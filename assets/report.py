"""The report: one self-contained page a person wants to read, and the same numbers as JSON."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource
from orchestration.tracking import MLflowTracking


@dg.asset(**asset_arguments("report"), kinds={"html", "mlflow"})
def report(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource, mlflow: MLflowTracking
) -> dg.MaterializeResult:
    """report.html and report.json of the snapshot day; MLflow shows them with the evaluation's run."""
    from ml.report.summary import verdicts
    from ml.report.write import write_report
    from orchestration.results import gather

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    results = gather(stage)
    write_report(results, work := stage.work())
    run = stage.workspace.manifest(stage.input("evaluation"))["mlflow"]
    mlflow.attach(run["run_id"], work / "report.html", work / "report.json")
    metadata = {
        "mlflow_run": dg.MetadataValue.url(run["url"]),
        "report": dg.MetadataValue.path(str(stage.directory / "report.html")),
        "verdicts": dg.MetadataValue.md("\n".join(f"* {line}" for line in verdicts(results))),
    }
    return stage.publish(work, rows=results["counts"]["test_users"], metadata=metadata)
