"""MLflow, as Adprior uses it: one run per model training or evaluation, linked both ways with Dagster.

Every run is named after what differs, carries every setting that can change it, the data it read, and the Dagster run,
asset and partition as tags; the asset gets the address of the MLflow run back. A run that fails says why, one
whose process was killed is marked so by the next. (dagster-mlflow pins an old pandas; this is ours.)
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from ml.errors import BadInput
from ml.report.metric_names import curve_metrics, flat
from orchestration import run_endings
from orchestration.deviations import deviations, parameters, run_name
from orchestration.experiments import experiment_id
from orchestration.provenance import full_commit, git_commit, machine_name
from orchestration.registry import register
from orchestration.settings import Settings
from orchestration.stage import RETRAIN_TAG, Stage
from orchestration.upstream_models import model_runs


class TrackedRun:
    """One open MLflow run.

    Attributes:
        facts: for the manifest, so that later stages find the run and the registered model.
        links: Dagster metadata.
        models: runs of the models it builds on, see `model_runs`.
    """

    def __init__(
        self, client: Any, stage: Stage, run_id: str, experiment: str, ui_url: str, models: dict[str, dict[str, str]]
    ) -> None:
        self.client, self.stage, self.run_id, self.models = client, stage, run_id, models
        self.url = f"{ui_url}/#/experiments/{experiment}/runs/{run_id}"
        self.facts: dict[str, Any] = {"mlflow": {"run_id": run_id, "url": self.url}}
        self.links: dict[str, Any] = {"mlflow_run": dg.MetadataValue.url(self.url)}
        self.data: Any = None
        self.logged: set[int] = set()

    def dataset(self, dataset: Any, context: str) -> None:
        """Log what the run reads (see orchestration/datasets.py) as `training` or `evaluation` data, the main first."""
        import mlflow

        mlflow.log_input(dataset, context)
        if self.data is None:
            self.data = dataset
            mlflow.set_tag("adprior.dataset", f"{dataset.name} {dataset.digest}")

    def params(self, values: Mapping[str, Any]) -> None:
        import mlflow

        mlflow.log_params({name: str(value)[:500] for name, value in values.items() if value is not None})

    def metrics(self, figures: Mapping[str, Any], *, model_id: str | None = None) -> None:
        """Log numbers and intervals, named by ml.report.metric_names; with `model_id` also on that model's page."""
        import mlflow

        mlflow.log_metrics(flat(figures), model_id=model_id, dataset=self.data if model_id else None)

    def curve_point(self, entry: Mapping[str, float]) -> None:
        """Log one point of a loss curve, once, at the tokens read."""
        import mlflow

        if (tokens := int(entry["tokens"])) not in self.logged:
            mlflow.log_metrics(curve_metrics(entry), step=tokens)
            self.logged.add(tokens)

    def curve(self, entries: list[dict[str, float]]) -> None:
        """Log what is missing of a whole curve: a resumed training starts in the middle of it."""
        for entry in entries:
            self.curve_point(entry)

    def table(self, rows: list[dict[str, Any]], name: str) -> None:
        """Log rows as a table that the UI shows, also beside those of other runs."""
        import mlflow
        import pandas as pd

        mlflow.log_table(pd.DataFrame(rows), name)

    def figure(self, figure: Any, name: str) -> None:
        import mlflow

        mlflow.log_figure(figure, name)

    def artifacts(self, path: Path, to: str | None = None) -> None:
        import mlflow

        (mlflow.log_artifacts if path.is_dir() else mlflow.log_artifact)(str(path), to)

    def register(
        self,
        directory: Path,
        *,
        loader: str,
        champion: bool,
        metrics: Mapping[str, Any],
        headline: tuple[str, ...],
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Register a checkpoint as a new version of the model named after the asset, and log its metrics.

        Args:
            directory: the checkpoint.
            loader: module in orchestration/model_loaders that reloads it.
            champion: move the alias `champion` here; otherwise only `challenger` points here.
            metrics: logged on the run and on the model's page.
            headline: names of those that the version's description shows.
            config: what the loader needs to know.
        """
        version = register(
            self.client,
            self.stage,
            directory,
            loader=loader,
            champion=champion,
            run_url=self.url,
            config=dict(config or {}),
            shown={name: flat(metrics)[name] for name in headline if name in flat(metrics)},
        )
        self.metrics(metrics, model_id=version.model_id)
        self.facts["mlflow"] |= {"model_id": version.model_id, "version": version.version}
        self.links["registered_version"] = version.version


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
    def run(self, stage: Stage) -> Iterator[TrackedRun]:
        """Open the MLflow run of a stage; an exception inside ends it with the reason."""
        import mlflow

        client = self._client()
        experiment = experiment_id(client, stage.asset, self.artifact_root)
        run_endings.close_abandoned(client, experiment)
        name = run_name(stage.settings, stage.asset, stage.day)
        models = {asset: run for asset, run in model_runs(stage).items() if _knows(client, run["run_id"])}
        tags = self._tags(stage)
        tags |= {f"adprior.run.{asset}": run["run_id"] for asset, run in models.items()}
        tags |= {f"adprior.model.{asset}": run["model_version"] for asset, run in models.items()}
        note = self._note(stage, models)
        opened = mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags, description=note)
        with run_endings.reason(client, opened):
            run = TrackedRun(client, stage, opened.info.run_id, experiment, self.mlflow_url, models)
            run.params({"as_of": stage.day, **parameters(stage.settings, stage.asset)})
            yield run

    def attach(self, run_id: str, *files: Path) -> None:
        """Attach files to a finished run; its state and times stay as they are.

        Raises:
            BadInput: there is no such run any more.
        """
        client = self._client()
        if not _knows(client, run_id):
            raise BadInput(
                f"MLflow knows no run {run_id}",
                where=self.tracking_uri,
                remedy="its database was replaced: delete the published evaluation of this day, and run again",
            )
        for file in files:
            client.log_artifact(run_id, str(file))

    def _client(self) -> Any:
        import mlflow

        mlflow.set_tracking_uri(self.tracking_uri)
        return mlflow.MlflowClient()

    def _tags(self, stage: Stage) -> dict[str, str]:
        settings, run = stage.settings, stage.context.run
        retrain = run.tags.get(RETRAIN_TAG)
        return {
            "dagster.run_id": run.run_id,
            "dagster.asset": stage.asset,
            "dagster.partition": stage.day.isoformat(),
            "dagster.url": f"{self.dagster_url}/runs/{run.run_id}",
            "adprior.profile": settings.profile,
            "adprior.source": settings.source,
            "adprior.input_fingerprint": stage.fingerprint,
            "adprior.changed": ", ".join(f"{k}={v}" for k, v in deviations(settings, stage.asset).items()) or "nothing",
            "adprior.machine": machine_name(),
            "adprior.host": platform.node(),
            "adprior.pid": str(os.getpid()),
            "adprior.git_commit": git_commit(),
            "mlflow.source.name": f"assets/{stage.asset}.py",
            "mlflow.source.type": "LOCAL",
            **({"mlflow.source.git.commit": commit} if (commit := full_commit()) else {}),
            **({"adprior.retrain_reason": retrain} if retrain else {}),
        }

    def _note(self, stage: Stage, models: Mapping[str, Mapping[str, str]]) -> str:
        """The run's description: where it comes from, and the runs of the models it builds on."""
        dagster_run = f"{self.dagster_url}/runs/{stage.context.run.run_id}"
        lines = [f"Asset `{stage.asset}` for {stage.day}: [Dagster run]({dagster_run})\n"]
        lines += [f"* `{asset}` {model['model_version']}: [its run]({model['url']})" for asset, model in models.items()]
        return "\n".join(lines)


def _knows(client: Any, run_id: str) -> bool:
    """Is the run there still? Somebody may have deleted it, or replaced the database."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False
