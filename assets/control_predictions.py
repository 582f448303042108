"""Control predictions: the cheap sources, blends of two and the placebo, for the same users as the LLM."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("control_predictions"), kinds={"numpy", "parquet"})
def control_predictions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Sources without a language model, trained on all users and tuned; blends of two; and the LLM's placebo."""
    import numpy as np
    import pandas as pd

    from ml.contexts.store import read_contexts, read_examples
    from ml.predictors.controls import predict_controls
    from ml.predictors.predictions import read_predictions, write_predictions
    from orchestration.controls import blending_of, tuned_settings

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    examples = read_examples(stage.input("training_examples") / "examples")
    predictions, facts = predict_controls(
        examples,
        read_contexts(stage.input("user_contexts") / "contexts"),
        read_predictions(stage.input("advertiser_predictions")),
        pd.read_parquet(stage.input("advertiser_predictions") / "catalogue.parquet")["advertiser_id"].to_numpy(),
        tuned_settings(stage),
        blending_of(stage, examples),
        k=stage.settings.predictions.top_k,
        rng=np.random.default_rng([stage.settings.seed, 2]),
        progress=stage.progress,
    )
    write_predictions(predictions, work := stage.work())
    metrics = {f"{what}_{name}": value for name, cost in facts["costs"].items() for what, value in cost.items()}
    return stage.publish(work, rows=len(predictions), metrics=metrics, **facts)
