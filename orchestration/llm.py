"""The advertiser LLM as stages see it: its base model, the version a day uses, what reports and MLflow need of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.artifacts import fingerprint_of
from ml.llm.settings import LLMSettings
from ml.progress import Progress, silent
from orchestration.stage import Stage
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from ml.llm.predictor import LLMPredictor
    from ml.llm.train import TrainingResult


HEADLINE = ("validation/llm/log_loss", "validation/popularity/log_loss", "validation/llm/recall_at_10")
"""Metrics that the registered version's description shows."""


def base_model(stage: Stage) -> Path:
    """Directory of the base model, fetched if the cache lacks it."""
    return cached_base_model(stage.workspace, stage.progress)


def cached_base_model(workspace: Workspace, progress: Progress = silent) -> Path:
    """The same, for a workspace."""
    from ml.llm.base_model import fetch_base_model

    return fetch_base_model(workspace.settings.llm.base_model, workspace.base_models, progress)


def load_llm(stage: Stage) -> LLMPredictor:
    """The version that the stage's day uses, on the base model it was trained on."""
    from ml.llm.predictor import LLMPredictor

    directory = stage.input("advertiser_llm")
    return LLMPredictor.load(directory, base_model(stage), model_version=directory.name, settings=stage.settings.llm)


def same_model(stage: Stage) -> str:
    """Fingerprint of the checkpoint's files: equal for two days that were scored by the very same weights."""
    return fingerprint_of(stage.workspace.manifest(stage.input("advertiser_llm"))["files"])


def earlier_states(stage: Stage) -> Path | None:
    """Newest published predictions, up to the stage's day, whose states come from the very same weights."""
    if not stage.settings.predictions.incremental:
        return None
    mine = same_model(stage)
    for directory in reversed(stage.workspace.tables(stage.asset)):
        past = directory.name <= stage.day.isoformat()
        if past and stage.workspace.manifest(directory).get("same_model") == mine:
            return stage.workspace.fetch(directory)
    return None


def cost_of(stage: Stage, cpu_seconds_per_1000_users: float | None) -> dict[str, float | int | None]:
    """What the version that the stage's day uses has cost to train, and costs to run."""
    trained = stage.workspace.manifest(stage.input("advertiser_llm"))["llm"]
    return {
        "train_users": trained["train_users"],
        "fit_cpu_seconds": trained["cpu_seconds"],
        "cpu_seconds_per_1000_users": cpu_seconds_per_1000_users,
    }


def beats_popularity(metrics: dict[str, float]) -> bool:
    """Did the held-out users' log loss come out below popularity's? If not, the alias champion is withheld."""
    return metrics["validation_log_loss"] < metrics["popularity_log_loss"]


def model_config(stage: Stage) -> dict[str, Any]:
    """What the registered model needs to reload (see model_loaders/advertiser_llm.py)."""
    settings = stage.settings.llm
    return {
        "base_model": settings.base_model,
        "base_models": str(stage.workspace.base_models),
        "model_version": stage.target.name,
        "settings": settings.model_dump(mode="json"),
    }


def report_facts(result: TrainingResult, settings: LLMSettings) -> dict[str, Any]:
    """The training run as report.json shows it."""
    curve = [
        {
            "tokens": entry["tokens"],
            "loss": entry.get("loss", entry.get("validation_loss")),
            "validation_loss": entry.get("validation_loss"),
        }
        for entry in result.loss_curve
    ]
    return {
        "base_model": settings.base_model,
        "train_users": result.counts["train_users"],
        "train_tokens": result.counts["train_tokens"],
        "token_budget": settings.train_tokens,
        "train_targets": result.counts["train_targets"],
        "dtype": result.compute["dtype"],
        "threads": result.compute["threads"],
        "cpu_seconds": result.compute["cpu_seconds"],
        "temperature": result.temperature,
        "loss_curve": curve,
        "validation": {
            "loss_start": result.metrics["validation_loss_start"],
            "loss_end": result.metrics["validation_loss_end"],
            "recall@10": result.metrics["validation_recall@10"],
            "popularity_recall@10": result.metrics["popularity_recall@10"],
        },
    }
