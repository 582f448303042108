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
    from orchestration.llm import base_model, beats_popularity, model_config, report_facts

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings, seed, work = stage.settings.llm, stage.settings.seed, stage.work()
    examples, base = read_examples(stage.input("training_examples") / "examples"), base_model(stage)
    with mlflow.run(stage, "advertiser-llm", f"{settings.base_model} {stage.target.name}") as run:
        run.params({**settings.model_dump(), "seed": seed})
        run.dataset(stage, "training_examples", rows=len(examples.targets))
        result = train(examples, base, settings, seed=seed, work=work, progress=stage.progress)
        run.curve(result.loss_curve, step="tokens")
        run.metrics({**result.metrics, **result.counts, "temperature": result.temperature})
        champion = beats_popularity(result.metrics)
        version = run.register(
            "advertiser_llm", work, loader="advertiser_llm", config=model_config(stage), champion=champion
        )
    return stage.publish(
        work,
        rows=result.counts["train_targets"],
        metrics={**result.metrics, **result.counts},
        metadata={"mlflow_run": dg.MetadataValue.url(run.url), "registered_version": version},
        llm=report_facts(result, settings),
        known_until=str(examples.contexts.as_of),
    )
