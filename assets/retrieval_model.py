"""The conventional generator's model: two towers that put users and ads into one space."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource
from orchestration.tracking import MLflowTracking


@dg.asset(**asset_arguments("retrieval_model"), kinds={"pytorch", "mlflow"})
def retrieval_model(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource, mlflow: MLflowTracking
) -> dg.MaterializeResult:
    """Two towers trained up to the predictor cutoff, and the vectors of the training's day for whoever reloads it."""
    from ml.candidates.index import index_of_day
    from ml.candidates.settings import CandidateSettings
    from ml.candidates.training import train_towers
    from ml.contexts.build import build_contexts
    from ml.contexts.store import read_examples
    from ml.report.metric_names import retrieval_metrics
    from orchestration import datasets

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings, lake, work = stage.settings, stage.workspace.lake, stage.work()
    with mlflow.run(stage) as run:
        cutoff = stage.timeline_of("training_examples").predictor_cutoff
        run.dataset(datasets.raw_logs(stage, cutoff), "training")
        examples = read_examples(stage.input("training_examples") / "examples")
        towers = train_towers(lake, examples.contexts, settings.candidates.tower, seed=settings.seed)
        towers.save(work / "towers")
        today = build_contexts(lake, stage.day, settings.contexts)
        retrieval, _ = index_of_day(towers, lake, today, CandidateSettings(tower=settings.candidates.tower))
        retrieval.save(work)
        sizes = {"users": len(retrieval.user_ids), "ads": len(retrieval.ads), "positives": towers.positives}
        metrics = retrieval_metrics(towers.quality, sizes)
        run.register(work, loader="retrieval_model", champion=True, metrics=metrics, headline=tuple(metrics))
    facts = {"known_until": str(cutoff), **run.facts}
    return stage.publish(work, rows=towers.positives, metrics=sizes | towers.quality, metadata=run.links, **facts)
