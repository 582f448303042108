"""Candidate sets: conventional and targeted ads, blended under the quotas, with provenance; and what was removed."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("candidate_sets"), kinds={"pytorch", "parquet"})
def candidate_sets(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """The ads to be ranked for each user: who proposed each, at which rank and score."""
    from ml.candidates.day import candidates_of_day
    from ml.contexts.store import read_contexts
    from ml.llm.interests import read_interests
    from ml.predictors.predictions import read_predictions
    from orchestration.candidates import index_for, quota_in_use

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    predictions = read_predictions(made := stage.input("advertiser_predictions"))
    users = predictions["user_id"].unique()
    contexts = read_contexts(stage.input("user_contexts") / "contexts", list(users))
    retrieval, removed = index_for(stage, contexts)
    quotas = quota_in_use(stage)
    day = candidates_of_day(
        *(retrieval, removed, predictions, read_interests(made), users, stage.settings.candidates),
        quota=quotas["quota"],
        interest_quota=quotas["interest_quota"],
    )
    day.candidates.to_parquet((work := stage.work()) / "candidates.parquet", index=False)
    day.removed.to_parquet(work / "removed.parquet", index=False)
    return stage.publish(work, rows=len(day.candidates), metrics=day.metrics)
