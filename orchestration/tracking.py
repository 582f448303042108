"""MLflow, as Adprior uses it: one run per model training or evaluation, linked both ways with Dagster.

Every MLflow run carries the Dagster run id, asset and partition as tags and a link to the Dagster run;
the asset gets the address of the MLflow run back. (dagster-mlflow pins an old pandas; this is ours.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.settings import Settings
from orchestration.stage import Stage

LOADERS = Path(__file__).parent / "model_loaders"


class TrackedRun:
    """One open MLflow run."""

    def __init__(self, client: Any, run_id: str, experiment_id: str, ui_url: str) -> None:
        self.client, self.run_id = client, run_id
        self.url = f"{ui_url}/#/experiments/{experiment_id}/runs/{run_id}"

    def params(self, values: Mapping[str, Any]) -> None:
        import mlflow

        mlflow.log_params({k: v for k, v in values.items() if v is not None})

    def settings(self, settings: Settings) -> None:
        """Log every setting as `section.field`, so that comparing two runs shows what differs."""
        everything = settings.model_dump(mode="json", exclude={"out", "ui", "data", "mapping"})
        sections = {name: value for name, value in everything.items() if isinstance(value, dict)}
        self.params({name: value for name, value in everything.items() if name not in sections})
        for section, fields in sections.items():
            self.params({f"{section}.{name}": str(value)[:500] for name, value in fields.items()})

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Log numbers and intervals; an interval `x` becomes x, x_low and x_high ("@" becomes "_at_")."""
        import mlflow

        flat: dict[str, float] = {}
        for name, value in values.items():
            name = name.replace("@", "_at_")
            if isinstance(value, Mapping):
                flat |= {name: value["value"], f"{name}_low": value["low"], f"{name}_high": value["high"]}
            elif value is not None:
                flat[name] = float(value)
        mlflow.log_metrics({k: v for k, v in flat.items() if v is not None and not math.isnan(v)})

    def curve(self, rows: list[dict[str, Any]], step: str) -> None:
        """Log a list of measurements, each a metric at `step`."""
        import mlflow

        for row in rows:
            figures = {k: v for k, v in row.items() if k not in (step, "step") and v is not None}
            mlflow.log_metrics(figures, step=int(row[step]))

    def dataset(self, stage: Stage, asset: str, rows: int) -> None:
        """Log which published table a model was trained on, by its fingerprint."""
        import mlflow
        from mlflow.data.dataset_source_registry import resolve_dataset_source
        from mlflow.data.meta_dataset import MetaDataset

        directory = stage.input(asset)
        digest = stage.workspace.manifest(directory)["fingerprint"]
        mlflow.log_input(
            MetaDataset(resolve_dataset_source(str(directory)), name=asset, digest=digest[-8:]), "training"
        )
        mlflow.set_tags({"adprior.dataset": f"{asset} {digest}", "adprior.dataset_rows": str(rows)})

    def artifacts(self, path: Path, to: str | None = None) -> None:
        import mlflow

        (mlflow.log_artifacts if path.is_dir() else mlflow.log_artifact)(str(path), to)

    def register(
        self, name: str, directory: Path, *, loader: str, champion: bool, config: Mapping[str, Any] | None = None
    ) -> str:
        """Register a checkpoint directory as a new version of model `name`.

        The directory itself is the artifact, behind a loader in orchestration/model_loaders:
        `mlflow.transformers.log_model` would reload a PEFT model on random base weights, silently.

        Args:
            champion: move the alias `champion` here; otherwise only `challenger` points here.

        Returns:
            The version.
        """
        import mlflow

        with redirect_stderr(StringIO()):  # it prints what the asset's metadata says anyway
            logged = mlflow.pyfunc.log_model(
                name=name,
                python_model=str(LOADERS / f"{loader}.py"),
                artifacts={"checkpoint": str(directory)},
                model_config=dict(config or {}),
                pip_requirements=["adprior"],
                registered_model_name=name,
            )
        version = str(logged.registered_model_version)
        self.client.set_registered_model_alias(name, "challenger", version)
        if champion:
            self.client.set_registered_model_alias(name, "champion", version)
        return version


class MLflowTracking(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The tracking server: a SQLite file under `out` unless a URI says otherwise."""

    tracking_uri: str
    artifact_root: str
    mlflow_url: str
    dagster_url: str

    @classmethod
    def from_settings(cls, settings: Settings) -> MLflowTracking:
        out = settings.out.absolute()
        return cls(
            tracking_uri=f"sqlite:///{out}/mlflow.db",
            artifact_root=str(out / "mlartifacts"),
            mlflow_url=settings.ui.mlflow_url,
            dagster_url=settings.ui.dagster_url,
        )

    @contextmanager
    def run(self, stage: Stage, experiment: str, name: str) -> Iterator[TrackedRun]:
        """Open an MLflow run for a stage; an exception inside marks it failed."""
        import mlflow

        Path(self.artifact_root).mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(self.tracking_uri)
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else client.create_experiment(experiment, self.artifact_root)
        run_id = stage.context.run.run_id
        run_url = f"{self.dagster_url}/runs/{run_id}"
        tags = {
            "dagster.run_id": run_id,
            "dagster.asset": stage.asset,
            "dagster.partition": stage.day.isoformat(),
            "dagster.url": run_url,
            "adprior.profile": stage.settings.profile,
            "adprior.source": stage.settings.source,
            "adprior.input_fingerprint": stage.fingerprint,
            "mlflow.note.content": f"Asset `{stage.asset}` for {stage.day}: [Dagster run]({run_url})",
        }
        with mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=tags) as run:
            yield TrackedRun(client, run.info.run_id, experiment_id, self.mlflow_url)
