"""The advertiser LLM: LoRA fine-tuning of an open LLM with an advertiser head, tracked and registered."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource
from orchestration.tracking import MLflowTracking


@dg.asset(**asset_arguments("advertiser_llm"), kinds={"pytorch", "huggingface", "mlflow"})
def advertiser_llm(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource, mlflow: MLflowTracking
) -> dg.MaterializeResult:
    """LoRA checkpoint and advertiser head, as a directory with a manifest, and as a registered model."""
    from ml.contexts.store import read_examples
    from ml.llm.train import train
    from ml.report.metric_names import llm_metrics
    from orchestration import datasets
    from orchestration.llm import HEADLINE, base_model, beats_popularity, model_config, report_facts

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings, seed, work = stage.settings.llm, stage.settings.seed, stage.work()
    examples, base = read_examples(stage.input("training_examples") / "examples"), base_model(stage)
    with mlflow.run(stage) as run:
        run.dataset(datasets.table(stage, "training_examples"), "training")
        result = train(examples, base, settings, seed=seed, work=work, progress=stage.progress, on_log=run.curve_point)
        run.curve(result.loss_curve)
        run.register(
            work,
            loader="advertiser_llm",
            champion=beats_popularity(result.metrics),
            metrics=llm_metrics(result.metrics, result.counts, result.temperature),
            headline=HEADLINE,
            config=model_config(stage),
        )
    return stage.publish(
        work,
        rows=result.counts["train_targets"],
        metrics={**result.metrics, **result.counts},
        metadata=run.links,
        llm=report_facts(result, settings),
        known_until=str(examples.contexts.as_of),
        **run.facts,
    )
