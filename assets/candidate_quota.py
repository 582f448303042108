"""Candidate quota: how many slots predicted advertisers get, chosen on the validation window; 0 is allowed."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("candidate_quota"), kinds={"numpy"})
def candidate_quota(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """Recall at equal budget by quota, on labels between the predictor cutoff and the training's day."""
    import numpy as np

    from ml.artifacts import write_json
    from ml.evaluation.quota import choose_quotas
    from orchestration.candidates import validation_proposals

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings = stage.settings
    proposals, labels, is_new = validation_proposals(stage)
    rng = np.random.default_rng([settings.seed, 6])
    facts = choose_quotas(proposals, labels, is_new, settings.candidates, settings.evaluation, rng)
    write_json((work := stage.work()) / "quota.json", facts)
    metrics = {name: facts[name] for name in ("quota", "interest_quota", "fixed", "users", "metric")}
    return stage.publish(work, rows=len(labels), metrics=metrics, known_until=str(stage.day))
