"""Tuned sources: settings of the sources without a language model, found on the training's validation window."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("tuned_sources"), kinds={"optuna", "json"})
def tuned_sources(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """A stated number of trials each, on the label window after the predictor cutoff; the test window is not read."""
    from ml.artifacts import write_json
    from ml.contexts.store import read_examples
    from ml.evaluation.validation import validation_fold
    from ml.predictors.tune_all import tune_all

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings, timeline = stage.settings, stage.timeline_of("training_examples")
    fold = validation_fold(stage.workspace.lake, timeline, read_examples(stage.input("training_examples") / "examples"))
    tuned = tune_all(fold, settings.baselines, settings.tuning, seed=settings.seed, progress=stage.progress)
    write_json((work := stage.work()) / "settings.json", tuned.settings.model_dump(mode="json"))
    write_json(work / "trials.json", tuned.found)
    metrics = {"validation_users": tuned.labels, "trials": sum(len(found["trials"]) for found in tuned.found.values())}
    for name, found in tuned.found.items():
        metrics |= {f"recall_before_{name}": found["before"], f"recall_after_{name}": found["after"]}
    return stage.publish(work, rows=len(tuned.found), metrics=metrics)
