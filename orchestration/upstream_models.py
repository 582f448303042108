"""The MLflow runs of the models that a stage builds on."""

from __future__ import annotations

from orchestration import plan
from orchestration.graph import NODES
from orchestration.stage import Stage


def model_runs(stage: Stage) -> dict[str, dict[str, str]]:
    """By asset: run_id, url, model_id, version (the registry's) and model_version of each registered model upstream.

    A model that was published before runs were recorded in manifests is left out.
    """
    found = {}
    for asset in _models_above(stage.asset):
        directory = plan.target(stage.workspace, asset, stage.day)
        recorded = stage.workspace.manifest(directory).get("mlflow")
        if recorded:
            found[asset] = {**recorded, "model_version": directory.name}
    return found


def _models_above(asset: str) -> list[str]:
    """Model assets upstream, nearest last, each once."""
    above: dict[str, None] = {}
    for up in NODES[asset].upstream:
        if up in NODES:
            above |= dict.fromkeys(_models_above(up))
            if NODES[up].kind == "model":
                above[up] = None
    return list(above)
