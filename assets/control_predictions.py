"""Control predictions: the cheap sources and the placebo, for the same users as the LLM."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("control_predictions"), kinds={"numpy", "parquet"})
def control_predictions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Sources without a language model (ml/predictors/registry.py), trained on all users, and the LLM's placebo."""
    import numpy as np
    import pandas as pd

    from ml.artifacts import read_json
    from ml.contexts.store import read_contexts, read_examples
    from ml.predictors.controls import predict_controls
    from ml.predictors.predictions import read_predictions, write_predictions
    from ml.predictors.registry import BaselineSettings

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings = stage.settings
    llm = read_predictions(stage.input("advertiser_predictions"))
    predictions, costs = predict_controls(
        read_examples(stage.input("training_examples") / "examples"),
        read_contexts(stage.input("user_contexts") / "contexts"),
        llm,
        pd.read_parquet(stage.input("advertiser_predictions") / "catalogue.parquet")["advertiser_id"].to_numpy(),
        BaselineSettings.model_validate(read_json(stage.input("tuned_sources") / "settings.json")),
        k=settings.predictions.top_k,
        rng=np.random.default_rng([settings.seed, 2]),
        progress=stage.progress,
    )
    write_predictions(predictions, work := stage.work())
    metrics = {f"{what}_{name}": value for name, cost in costs.items() for what, value in cost.items()}
    return stage.publish(work, rows=len(predictions), metrics=metrics, costs=costs)
