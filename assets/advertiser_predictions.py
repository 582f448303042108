"""Advertiser predictions: the LLM's top-k advertisers with probability for every active user of the day."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("advertiser_predictions"), kinds={"pytorch", "parquet"})
def advertiser_predictions(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Only users whose context changed since an earlier day are read; written shard by shard, so a kill costs one."""
    from ml.contexts.labels import eligible_users, stable_sample
    from ml.contexts.store import read_contexts, tokens_of
    from ml.llm.incremental import score_changed
    from ml.predictors.catalogue import build_catalogue
    from ml.predictors.prior_shift import PriorShift
    from orchestration.llm import cost_of, earlier_states, load_llm, same_model

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings = stage.settings.predictions
    contexts = read_contexts(source := stage.input("user_contexts") / "contexts")
    rows = eligible_users(contexts, settings.min_conversions)
    mine = contexts.take(rows[stable_sample(contexts.user_ids[rows], settings.max_users, stage.settings.seed)])
    with stage.workspace.lake.connect(as_of=stage.day) as con:
        catalogue = build_catalogue(con, stage.day, min_users=stage.settings.catalogue.min_users)
    catalogue.to_parquet((work := stage.work()) / "catalogue.parquet", index=False)
    correction = PriorShift(**stage.workspace.manifest(stage.input("past_predictions"))["prior_shift"])
    predictor = load_llm(stage).with_catalogue(catalogue).with_prior_shift(correction, contexts)
    earlier = earlier_states(stage)
    scored = score_changed(
        predictor, mine, settings.top_k, work, shards=settings.shards, earlier=earlier, progress=stage.progress
    )
    counts = {"users": len(mine), "read_users": len(scored.read), "tokens": tokens_of(source, mine.user_ids)}
    counts["read_tokens"] = tokens_of(source, scored.read)
    metrics = {"eligible_users": len(rows), "catalogue": len(catalogue), **counts}
    metrics["saved_share"] = round(1 - counts["read_tokens"] / max(counts["tokens"], 1), 4)
    cost = cost_of(stage, scored.cpu_seconds_per_1000_users)
    metrics |= {what: value for what, value in cost.items() if value is not None}
    facts = {**counts, "same_model": same_model(stage), "cost": cost}
    return stage.publish(
        work, rows=len(scored.predictions), metrics=metrics, model_version=predictor.model_version, **facts
    )
