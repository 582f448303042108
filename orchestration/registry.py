"""The model registry: a published checkpoint becomes a version with a description, tags and aliases."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from orchestration.deviations import run_name
from orchestration.provenance import git_commit
from orchestration.stage import Stage

LOADERS = Path(__file__).parent / "model_loaders"
ABOUT = {
    "advertiser_llm": "Forecasts which advertisers a user will convert with: LoRA adapters and an advertiser head.",
    "retrieval_model": "Ads for a user by two towers (his stream, the ad's features): the conventional generator.",
    "ranker": "Calibrated probability that an ad shown to a user converts, with the LLM's priors among its features.",
}
ALIASES = "`champion` is in use, `challenger` is the newest. The name of a version's run says what was changed for it."


@dataclass(frozen=True)
class Registered:
    """A version of a registered model."""

    version: str
    model_id: str


def register(
    client: Any,
    stage: Stage,
    directory: Path,
    *,
    loader: str,
    champion: bool,
    run_url: str,
    config: dict[str, Any],
    shown: Mapping[str, float],
) -> Registered:
    """Register a checkpoint directory as a new version of the model named after the asset.

    The directory itself is the artifact, behind a loader in orchestration/model_loaders:
    `mlflow.transformers.log_model` would reload a PEFT model on random base weights, silently.
    """
    import mlflow

    name, tags = stage.asset, _tags(stage)
    with redirect_stderr(StringIO()):  # it prints what the asset's metadata says anyway
        logged = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(LOADERS / f"{loader}.py"),
            artifacts={"checkpoint": str(directory)},
            model_config=config,
            pip_requirements=["adprior"],
            registered_model_name=name,
            tags=tags,
        )
    version = str(logged.registered_model_version)
    client.update_registered_model(name, description=f"{ABOUT[name]}\n\n{ALIASES}")
    client.update_model_version(name, version, description=_description(stage, run_url, shown))
    for tag, value in {**tags, **{metric: f"{value:.5g}" for metric, value in shown.items()}}.items():
        client.set_model_version_tag(name, version, tag, value)
    client.set_registered_model_alias(name, "challenger", version)
    if champion:
        client.set_registered_model_alias(name, "champion", version)
    _withdraw_unpublished(client, name, version, tags["adprior.model_version"])
    return Registered(version, str(logged.model_id))


def _withdraw_unpublished(client: Any, name: str, version: str, model_version: str) -> None:
    """Delete versions of this very model whose run was killed, or failed, before the model was published."""
    for other in client.search_model_versions(f"name = '{name}' AND tags.`adprior.model_version` = '{model_version}'"):
        if str(other.version) != version and client.get_run(other.run_id).info.status in ("KILLED", "FAILED"):
            client.delete_model_version(name, str(other.version))


def _tags(stage: Stage) -> dict[str, str]:
    return {
        "adprior.model_version": stage.target.name,
        "adprior.as_of": stage.day.isoformat(),
        "adprior.recipe": stage.target.name[11:],
        "adprior.source": stage.settings.source,
        "adprior.profile": stage.settings.profile,
        "adprior.git_commit": git_commit(),
    }


def _description(stage: Stage, run_url: str, shown: Mapping[str, float]) -> str:
    figures = ", ".join(f"{metric} {value:.5g}" for metric, value in shown.items())
    lines = [f"{run_name(stage.settings, stage.asset, stage.day)} ([run]({run_url}))", figures]
    return "\n\n".join(line for line in lines if line)
