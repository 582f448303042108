"""Past predictions: what this LLM says at the earlier snapshots, the priors of the ranker's training rows."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("past_predictions"), kinds={"pytorch", "parquet"})
def past_predictions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Predictions, and their placebo, at the Timeline's past snapshots, for a seeded sample of the ranker's users.

    They and those of later days are corrected for what everybody has converted with lately: by how much, the labels
    after the first snapshot tell.
    """
    from dataclasses import asdict

    import numpy as np

    from ml.contexts.labels import validation_labels
    from ml.predictors.past import predict_past
    from ml.ranking.users import ranker_users
    from orchestration.llm import load_llm

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings, timeline, lake = stage.settings, stage.timeline, stage.workspace.lake
    rng = np.random.default_rng([settings.seed, 1])
    users = ranker_users(lake, timeline, most=settings.predictions.past_users, rng=rng)
    predictions, correction = predict_past(
        predictor := load_llm(stage),
        lake,
        timeline.past_snapshots,
        users,
        settings.contexts,
        min_users=settings.catalogue.min_users,
        k=settings.predictions.top_k,
        labels=validation_labels(lake, timeline),
        min_labels=settings.predictions.min_labels,
        rng=rng,
        work=(work := stage.work()),
        progress=stage.progress,
    )
    metrics = {"users": len(users), "snapshots": len(timeline.past_snapshots), "prior_shift": correction.strength}
    return stage.publish(
        work,
        rows=len(predictions),
        metrics=metrics,
        model_version=predictor.model_version,
        known_until=str(stage.day),
        prior_shift=asdict(correction),
    )
