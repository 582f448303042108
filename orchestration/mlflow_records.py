"""What MLflow remembers of models, read for the command line. MLflow is imported when asked, which takes seconds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestration.settings import Settings


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model, with the MLflow run that trained it."""

    model: str
    version: str
    aliases: list[str]
    created: datetime
    run_id: str
    run_name: str
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def directory(self) -> str:
        """Version of the published directory, `<day>-<recipe>`: what a model's stage has for a fingerprint."""
        return self.tags.get("adprior.input_fingerprint", "")


def store(settings: Settings) -> Path:
    """MLflow's SQLite file."""
    return settings.out.absolute() / "mlflow.db"


def registered_versions(settings: Settings) -> list[RegisteredVersion]:
    """Every registered version under `out`, newest first; nothing where nothing was tracked yet."""
    if not store(settings).exists():  # the client would make an empty one
        return []
    client, found = _client(settings), []
    aliases: dict[tuple[str, str], list[str]] = {}
    for model in client.search_registered_models():
        for alias, version in model.aliases.items():
            aliases.setdefault((model.name, str(version)), []).append(alias)
    for record in client.search_model_versions():
        run = client.get_run(record.run_id)
        found.append(
            RegisteredVersion(
                model=record.name,
                version=str(record.version),
                aliases=sorted(aliases.get((record.name, str(record.version)), [])),
                created=datetime.fromtimestamp(record.creation_timestamp / 1000, UTC),
                run_id=record.run_id,
                run_name=run.info.run_name,
                metrics=dict(run.data.metrics),
                tags=dict(run.data.tags),
            )
        )
    return sorted(found, key=lambda version: version.created, reverse=True)


def _client(settings: Settings) -> Any:
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{store(settings)}")
