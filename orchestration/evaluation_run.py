"""What an evaluation leaves in MLflow: metrics with intervals, on the run and on the pages of the models it judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml.report.importance_figure import importance_figure
from ml.report.metric_names import cost_metrics, evaluation_metrics, evaluation_table
from orchestration import datasets
from orchestration.tracking import TrackedRun

JUDGED = {
    "advertiser_llm": ("predictors", "llm", "recall_at_10"),
    "retrieval_model": ("retrieval", "conventional", "advertiser_recall"),
    "ranker": ("ranker", "llm", "auc"),
}
"""By registered model: which part and arm of the results is its own, and the figure that its newest version shows."""
DATA = ("advertiser_predictions", "control_predictions", "candidate_sets")


def log_evaluation(run: TrackedRun, results: Mapping[str, Any]) -> None:
    """Log the data it read, the models it judged, and every metric once: with its model, if it is about one."""
    stage = run.stage
    run.dataset(datasets.raw_logs(stage, stage.timeline.test_closes), "evaluation")
    for asset in DATA:
        run.dataset(datasets.table(stage, asset), "evaluation")
    figures = evaluation_metrics(results)
    for asset, (part, arm, shown) in JUDGED.items():
        if model := run.models.get(asset):
            own = evaluation_metrics(results, part=part, arm=arm)
            run.metrics(own, model_id=model["model_id"])
            figures = {name: figure for name, figure in figures.items() if name not in own}
            if best := own.get(f"test/{arm}/{shown}"):
                value = "{value:.4f} [{low:.4f}, {high:.4f}]".format(**best)
                tag = f"test/{arm}/{shown}"
                run.client.set_model_version_tag(asset, model["version"], tag, f"{value} as of {stage.day}")
    run.metrics(figures | cost_metrics(results))
    run.table(evaluation_table(results), "metrics.json")
    if features := results["ranker_importance"]:
        groups = results["ranker_importance_groups"]
        run.table([_flat(arm, row) for arm, rows in features.items() for row in rows], "importance.json")
        run.table([_flat(arm, row) for arm, rows in groups.items() for row in rows], "importance_groups.json")
        run.figure(importance_figure(features, groups), "importance.png")
    run.artifacts(stage.work() / "results.json")


def _flat(arm: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """One feature or group as a row of a table: an interval takes three columns."""
    plain = {name: value for name, value in row.items() if name not in ("auc_drop", "log_loss_rise")}
    ends = {
        f"{name}{end}": (row[name] or {}).get(key)
        for name in ("auc_drop", "log_loss_rise")
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    return {"arm": arm, **plain, **ends}
