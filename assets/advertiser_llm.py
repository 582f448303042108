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
    from ml.llm.base_model import fetch_base_model
    from ml.llm.train import train

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    settings = stage.settings.llm
    base = fetch_base_model(settings.base_model, stage.workspace.base_models, stage.progress)
    examples = read_examples(stage.input("training_examples"))
    with mlflow.run(stage, "advertiser-llm", f"{settings.base_model} {stage.target.name}") as run:
        run.params({**settings.model_dump(), "seed": stage.settings.seed})
        result = train(
            examples, base, settings, seed=stage.settings.seed, work=(work := stage.work()), progress=stage.progress
        )
        run.curve(result.loss_curve, step="tokens")
        run.metrics(result.metrics)
        version = run.register_checkpoint(stage, work, "advertiser_llm", champion=result.beats_popularity)
    return stage.publish(
        work,
        rows=result.targets,
        metrics=result.metrics,
        metadata={"mlflow_run": dg.MetadataValue.url(run.url), "registered_version": version},
        llm=result.facts,
        known_until=str(examples.contexts.as_of),
    )
