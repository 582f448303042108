"""Workspace: where everything of one source and profile lies, and how to get at it.

    <place>/                                       <out>/<source>-<profile>, or <lake>/<source>-<profile> on S3
        lake/          validated raw tables, see ml/lake.py       quarantine/   rows that broke the contract
        tables/<asset>/<day>/                                     published once a snapshot day
        models/<asset>/<day>-<recipe>/                            published once a training
    <out>/<source>-<profile>/                      always local
        landing/       raw logs as the simulator wrote them (world only)
        dagster/                                                  DAGSTER_HOME
        cache/                                                    with a lake on S3: copies of what is published there

A published directory is complete (its manifest is written last) and never changes. `local` gives it as a local
directory, wherever it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ml.artifacts import MANIFEST, fetch, read_json, read_manifest
from ml.errors import BadInput
from ml.lake import Lake
from ml.places import must_answer, place, storage_errors
from ml.sources.base import LogSource
from ml.timeline import Timeline
from orchestration.settings import Settings, load_settings
from orchestration.terminal import display

if TYPE_CHECKING:
    from upath import UPath

Found = TypeVar("Found")
Kind = Literal["tables", "models"]


class Workspace:
    """Paths and shared objects of one source and profile."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self.root = self.settings.workspace
        self._look: dict[Any, Any] | None = None

    @cached_property
    def place(self) -> Path | UPath:
        """Where lake, quarantine and published results lie."""
        lake = self.settings.lake
        return place(f"{lake}/{self.root.name}") if lake else self.root

    @property
    def lake(self) -> Lake:
        return Lake(self.place / "lake")

    def must_answer(self) -> None:
        """Let a wrong key or bucket show before any work is done.

        Raises:
            BadInput: the lake lies on S3, and S3 does not let us in.
        """
        if not isinstance(self.place, Path):
            must_answer(self.place)

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

    def local(self, asset: str, day: date) -> Path:
        """Local directory of what is published of an asset, as this day sees it; fetched if it lies on S3.

        Raises:
            BadInput: it is not published.
        """
        from orchestration import plan

        return self.fetch(plan.target(self, asset, day))

    def fetch(self, directory: Path | UPath) -> Path:
        """The same of a published directory.

        Raises:
            BadInput: it is not published.
        """
        if isinstance(directory, Path):
            self.manifest(directory)
        return fetch(directory, self.beside(directory))

    def beside(self, directory: Path | UPath) -> Path:
        """Where the local copy of a published directory lies, or will lie: itself if that is local."""
        if isinstance(directory, Path):
            return directory
        return self.root / "cache" / str(directory).removeprefix(f"{self.place}/")

    def target(self, kind: Kind, asset: str, name: str) -> Path | UPath:
        """Where one result is published: `name` is a day (tables) or a version (models)."""
        return self.place / kind / asset / name

    def table(self, asset: str, day: date) -> Path | UPath:
        """Published directory of a daily asset."""
        return self.target("tables", asset, day.isoformat())

    def tables(self, asset: str) -> list[Path | UPath]:
        """Published directories of a daily asset, oldest day first."""
        return [self.target("tables", asset, name) for name in self._published("tables", asset)]

    def days(self, asset: str) -> list[date]:
        """Days for which a daily asset is published, oldest first."""
        return [date.fromisoformat(path.name) for path in self.tables(asset)]

    def models(self, asset: str, recipe: str = "") -> list[Path | UPath]:
        """Published versions of a model asset, made by this recipe if one is given, oldest first."""
        names = self._published("models", asset)
        return [self.target("models", asset, name) for name in names if name.endswith(recipe)]

    def model(self, asset: str, day: date, recipe: str) -> Path | UPath | None:
        """Newest version whose data ends by `day`; None if there is none."""
        usable = [p for p in self.models(asset, recipe) if p.name[:10] <= day.isoformat()]
        return usable[-1] if usable else None

    def _published(self, kind: Kind, asset: str) -> list[str]:
        """Names of the published results of an asset, sorted: those that have a manifest."""
        return self._once((kind, asset), lambda: self._list_published(self.place / kind / asset))

    def _list_published(self, parent: Path | UPath) -> list[str]:
        if isinstance(parent, Path):
            return sorted(path.parent.name for path in parent.glob(f"[0-9]*/{MANIFEST}"))
        with storage_errors(parent):
            keys = [key.removeprefix(f"{parent.path}/") for key in parent.fs.find(parent.path)]
        return sorted(
            key.removesuffix(f"/{MANIFEST}") for key in keys if key.count("/") == 1 and key.endswith(MANIFEST)
        )

    def ingested(self) -> dict[str, Any]:
        """The record of what the lake has taken in, see orchestration/ingested.py."""
        found: dict[str, Any] = self._once("ingested", lambda: read_json(self.lake.root / "ingested.json") or {})
        return found

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Within it, every listing and the record of the lake are read once: one question takes many looks at S3."""
        outermost, self._look = self._look is None, self._look if self._look is not None else {}
        try:
            yield
        finally:
            if outermost:
                self._look = None

    def _once(self, what: Any, read: Callable[[], Found]) -> Found:
        if self._look is None:
            return read()
        if what not in self._look:
            self._look[what] = read()
        return self._look[what]  # type: ignore[no-any-return]

    def manifest(self, directory: Path | UPath) -> dict[str, Any]:
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
