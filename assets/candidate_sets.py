"""Candidate sets: conventional and advertiser-targeted ads, blended under the quota, with provenance."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("candidate_sets"), kinds={"pandas", "parquet"})
def candidate_sets(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """The ads to be ranked for each user: who proposed each, at which rank and score."""
    from ml.candidates.ad_retrieval import AdRetrieval
    from ml.candidates.arms import candidate_set
    from ml.candidates.concentration import concentration
    from ml.predictors.predictions import read_predictions

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings = stage.settings.candidates
    retrieval = AdRetrieval.load(stage.input("retrieval_model"))
    predictions = read_predictions(stage.input("advertiser_predictions"))
    candidates = candidate_set(retrieval, predictions, predictions["user_id"].unique(), settings)
    candidates.to_parquet((work := stage.work()) / "candidates.parquet", index=False)
    spread = concentration(candidates, eligible=retrieval.ads["advertiser_id"].nunique())
    metrics = {
        "users": candidates["user_id"].nunique(),
        "targeted_share": round(float(candidates["targeted_rank"].notna().mean()), 4),
        "top10_share": round(spread.top10_share, 4),
        "gini": round(spread.gini, 4),
    }
    return stage.publish(work, rows=len(candidates), metrics=metrics)
