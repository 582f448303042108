"""Advertiser predictions: the LLM's top-k advertisers with probability for every active user of the day."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("advertiser_predictions"), kinds={"pytorch", "parquet"})
def advertiser_predictions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Batched by length, written shard by shard: a killed run loses at most one shard."""
    import numpy as np

    from ml.contexts.labels import eligible_users
    from ml.contexts.store import read_contexts, tokens_of
    from ml.predictors.batch import predict_in_shards
    from ml.predictors.catalogue import build_catalogue
    from orchestration.llm import load_llm

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings = stage.settings.predictions
    contexts = read_contexts(stage.input("user_contexts") / "contexts")
    rows = eligible_users(contexts, settings.min_conversions)
    eligible = len(rows)
    if settings.max_users and eligible > settings.max_users:
        rng = np.random.default_rng([stage.settings.seed, 3])
        rows = np.sort(rng.choice(rows, settings.max_users, replace=False))
    with stage.workspace.lake.connect(as_of=stage.day) as con:
        catalogue = build_catalogue(con, stage.day, min_users=stage.settings.catalogue.min_users)
    predictor = load_llm(stage).with_catalogue(catalogue)
    catalogue.to_parquet((work := stage.work()) / "catalogue.parquet", index=False)
    mine, k, shards = contexts.take(rows), settings.top_k, settings.shards
    predictions = predict_in_shards(predictor, mine, k, work, shards=shards, progress=stage.progress)
    metrics = {"eligible_users": eligible, "catalogue": len(catalogue)}
    scored = {"users": len(rows), "tokens": tokens_of(stage.input("user_contexts") / "contexts", mine.user_ids)}
    return stage.publish(
        work, rows=len(predictions), metrics=metrics | scored, model_version=predictor.model_version, **scored
    )
