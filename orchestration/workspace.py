"""Workspace: where everything of one source and profile lies, and how an asset publishes.

    <out>/<source>-<profile>/
        landing/       raw logs as the simulator wrote them (world only)
        lake/          validated raw tables, see ml/lake.py       quarantine/   rows that broke the contract
        tables/<asset>/<day>/                                     published once a snapshot day
        models/<asset>/<day>-<recipe>/                            published once a training
        dagster/                                                  DAGSTER_HOME

A published directory is complete (its manifest is written last) and never changes.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from ml.artifacts import read_manifest
from ml.errors import BadInput
from ml.lake import Lake
from ml.sources.base import LogSource
from ml.timeline import Timeline
from orchestration.settings import Settings, load_settings
from orchestration.terminal import display


class Workspace:
    """Paths and shared objects of one source and profile."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self.root = self.settings.workspace

    @property
    def lake(self) -> Lake:
        return Lake(self.root / "lake")

    @property
    def base_models(self) -> Path:
        """Cache of base models, shared by all workspaces under the same `out`."""
        return self.settings.out.absolute() / "base_models"

    @cached_property
    def source(self) -> LogSource:
        """The source of raw logs that the settings name."""
        if self.settings.source == "world":
            from ml.sources.world import WorldSource

            return WorldSource(self.settings.world, self.settings.seed, self.root / "landing", display().progress)
        data, mapping = self.settings.data_place, self.settings.mapping_file
        if mapping is None:
            from ml.sources.contract_logs import ContractLogs

            return ContractLogs(data, self.settings.source)
        if self.settings.source == "parquet":
            from ml.sources.log_mapping import load_log_mapping
            from ml.sources.parquet_logs import ParquetLogs

            return ParquetLogs(data, load_log_mapping(mapping))
        from ml.sources.mapping import load_mapping
        from ml.sources.purchases import PurchaseLogs

        return PurchaseLogs(Path(data), load_mapping(mapping))

    def timeline(self, day: date) -> Timeline:
        return Timeline(day, self.settings.timeline)

    def table(self, asset: str, day: date) -> Path:
        """Published directory of a daily asset."""
        return self.root / "tables" / asset / day.isoformat()

    def tables(self, asset: str) -> list[Path]:
        """Published directories of a daily asset, oldest day first."""
        found = (self.root / "tables" / asset).glob("[0-9]*")
        return sorted(path for path in found if read_manifest(path))

    def days(self, asset: str) -> list[date]:
        """Days for which a daily asset is published, oldest first."""
        return [date.fromisoformat(path.name) for path in self.tables(asset)]

    def models(self, asset: str, recipe: str) -> list[Path]:
        """Published versions of a model asset made by this recipe, oldest first."""
        found = (self.root / "models" / asset).glob(f"[0-9]*-{recipe}")
        return sorted(path for path in found if read_manifest(path))

    def model(self, asset: str, day: date, recipe: str) -> Path | None:
        """Newest version whose data ends by `day`; None if there is none."""
        usable = [p for p in self.models(asset, recipe) if p.name[:10] <= day.isoformat()]
        return usable[-1] if usable else None

    def manifest(self, directory: Path) -> dict[str, Any]:
        """Manifest of a directory that an earlier stage must have published.

        Raises:
            BadInput: it has not.
        """
        manifest = read_manifest(directory)
        if manifest is None:
            raise BadInput(
                "not published yet", where=str(directory), remedy="materialize the asset upstream of it first"
            )
        return manifest


def day_to_look_at(workspace: Workspace, asset: str) -> date:
    """The day that the settings name, else the newest for which the asset is published.

    Raises:
        BadInput: it is not published; names the days that are.
    """
    days, day = workspace.days(asset), workspace.settings.as_of
    if day in days or (days and day is None):
        return day or days[-1]
    others = f"; there is {', '.join(map(str, days[-5:]))}" if days else ""
    raise BadInput(
        f"no {asset} of {day or 'any day'} yet{others}",
        where=str(workspace.root),
        remedy="run the pipeline first: `adprior run`, with the same --profile, --source, --out and --as-of",
    )
