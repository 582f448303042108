"""Stage: one asset being made for one day. Every asset body works through it.

It gives the asset its day, its inputs' directories, a work directory that survives a kill, and
`publish`, which writes the manifest and returns the metadata that every asset shares.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml.artifacts import publish, read_manifest, work_dir
from ml.errors import BadInput
from ml.progress import Progress
from ml.timeline import Timeline
from orchestration import plan
from orchestration.graph import NODES
from orchestration.settings import Settings
from orchestration.terminal import display
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from upath import UPath

RESUME_TAG = "adprior/resume"
"""Runs with this tag take a stage that is already published and up to date as it is."""

RETRAIN_TAG = "adprior/retrain"
"""Runs with this tag train new versions of their models on their day, whatever versions there are; value: why."""

DAY_TAG = "adprior/day"
"""Snapshot day of a run without a partition: models have none."""

REDO_TAG = "adprior/redo"
"""Except these stages (comma-separated): a blocking check refused what they had published."""


class Stage:
    """One asset, one day, one run."""

    def __init__(self, context: dg.AssetExecutionContext, workspace: Workspace) -> None:
        self.context, self.workspace = context, workspace
        self.asset = context.asset_key.to_user_string()
        self.day = snapshot_day(context, workspace)
        self.target, self.fingerprint = self._to_be_made()
        self.started = time.monotonic()
        plan.require_logs(workspace, self.asset, self.day)
        display().stage(self.asset)

    def _to_be_made(self) -> tuple[Path | UPath, str]:
        """Place and fingerprint of the result: a model is trained anew where it is asked for by name."""
        if NODES[self.asset].kind == "model" and (RETRAIN_TAG in self.context.run.tags or not self.resumes):
            version = plan.new_version(self.workspace, self.asset, self.day)
            return self.workspace.target("models", self.asset, version), version
        mark = plan.fingerprint(self.workspace, self.asset, self.day)
        return plan.target(self.workspace, self.asset, self.day), mark

    @property
    def resumes(self) -> bool:
        """May an earlier run's result be taken as it is?"""
        tags = self.context.run.tags
        return RESUME_TAG in tags and self.asset not in tags.get(REDO_TAG, "").split(",")

    @property
    def settings(self) -> Settings:
        return self.workspace.settings

    @property
    def timeline(self) -> Timeline:
        """The Timeline of the snapshot day."""
        return self.workspace.timeline(self.day)

    def input(self, asset: str) -> Path:
        """Local directory of an upstream asset's published result, as this day sees it."""
        return self.workspace.local(asset, self.day)

    def timeline_of(self, model: str) -> Timeline:
        """The Timeline of the day on which the model that this day uses was trained."""
        return self.workspace.timeline(plan.trained_on(self.input(model).name))

    def work(self) -> Path:
        """Directory to build the result in; a killed run with the same inputs finds it as it left it."""
        return work_dir(self.directory, self.fingerprint)

    @property
    def directory(self) -> Path:
        """Local directory in which the published result will lie."""
        return self.workspace.beside(self.target)

    @property
    def progress(self) -> Progress:
        return display().progress

    def published_before(self) -> dg.MaterializeResult | None:
        """The result of an earlier run that was stopped after publishing it; only in runs that resume."""
        manifest = read_manifest(self.target) if self.resumes else None
        if manifest is None or manifest["fingerprint"] != self.fingerprint:
            return None
        display().skipped(self.asset)
        return self._result(manifest, {"reused": True})

    def publish(
        self,
        work: Path,
        *,
        rows: int,
        metrics: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        model_version: str | None = None,
        **facts: Any,
    ) -> dg.MaterializeResult:
        """Publish `work` and report it.

        Args:
            work: the finished directory (see `work`).
            rows: rows of the table, or training rows of the model.
            metrics: numbers or intervals to show on the asset.
            metadata: further Dagster metadata (links, tables).
            model_version: version of the model that made it.
            facts: anything JSON-able that later stages or the report need from the manifest.
        """
        manifest = publish(
            work,
            self.target,
            {
                "asset": self.asset,
                "as_of": self.day.isoformat(),
                "fingerprint": self.fingerprint,
                "rows": rows,
                "seconds": round(time.monotonic() - self.started, 2),
                "model_version": model_version or (self.target.name if self.is_model else None),
                "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
                "dagster_run_id": self.context.run.run_id,
                "metrics": dict(metrics or {}),
                **facts,
            },
        )
        display().done(self.asset, manifest["rows"], manifest["seconds"])
        return self._result(manifest, metadata or {})

    @property
    def is_model(self) -> bool:
        return self.target.parent.parent.name == "models"

    def _result(self, manifest: dict[str, Any], metadata: Mapping[str, Any]) -> dg.MaterializeResult:
        shared = {
            "rows": manifest["rows"],
            "as_of": manifest["as_of"],
            "seconds": manifest["seconds"],
            "input_fingerprint": manifest["fingerprint"],
            "model_version": manifest["model_version"] or "none",
            "path": dg.MetadataValue.path(str(self.target)),
        }
        return dg.MaterializeResult(metadata={**shared, **metadata, **shown(manifest["metrics"])})


class Finished:
    """An asset that has just been made, as its checks see it.

    Raises:
        BadInput: it has not been published.
    """

    def __init__(self, context: dg.AssetCheckExecutionContext, workspace: Workspace, asset: str) -> None:
        self.workspace, self.settings = workspace, workspace.settings
        self.day = snapshot_day(context, workspace)
        self.directory = self.of(asset)
        self.manifest = workspace.manifest(self.directory)
        display().checking(asset)

    def of(self, asset: str) -> Path:
        """Local directory of an asset's published result, as this day sees it."""
        return self.workspace.local(asset, self.day)

    @property
    def timeline(self) -> Timeline:
        """The Timeline of the day the asset was made for."""
        return self.workspace.timeline(date.fromisoformat(self.manifest["as_of"]))


def shown(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as Dagster metadata; an interval becomes "value [low, high]"."""
    return {name: _interval(v) if isinstance(v, Mapping) and "low" in v else v for name, v in metrics.items()}


def _interval(value: Mapping[str, Any]) -> str:
    return f"{value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"


def snapshot_day(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, workspace: Workspace) -> date:
    """The day a run is about: its partition or day tag, else `as_of` of the settings, else the newest closed day.

    Model assets have no partitions of their own; in a run for a partition they are made for its day.
    """
    key = context.run.tags.get("dagster/partition") or context.run.tags.get(DAY_TAG)
    if key:
        return date.fromisoformat(key)
    if workspace.settings.as_of:
        return workspace.settings.as_of
    return newest_closed_day(workspace)


def newest_closed_day(workspace: Workspace) -> date:
    """Newest snapshot day whose test outcomes are all in the lake.

    Raises:
        BadInput: the lake is empty.
    """
    days = workspace.lake.days("conversions")
    if not days:
        raise BadInput("no raw logs yet", where=str(workspace.lake.root), remedy="materialize the raw tables first")
    return Timeline.newest_closed(days[-1], workspace.settings.timeline).as_of
