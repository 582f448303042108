"""PurchaseLogs keeps the source contract on the sample that ships."""

from __future__ import annotations

import shutil
from pathlib import Path

from ml.sources.base import LogSource
from ml.sources.mapping import AMAZON14, SAMPLE, load_mapping
from ml.sources.purchases import PurchaseLogs
from ml.timeline import Window
from tests.contracts.source_contract import SourceContract
from tests.unit.sources.sources_small_logs import rewrite


class TestPurchaseLogs(SourceContract):
    sparse = True

    def make(self, root: Path) -> LogSource:
        root.mkdir(exist_ok=True)
        for name in ("events", "items"):
            shutil.copy(SAMPLE / f"{name}.parquet", root)
        return PurchaseLogs(root, load_mapping(AMAZON14))

    def make_changed(self, root: Path) -> LogSource:
        source = self.make(root)
        rewrite(root / "events.parquet", lambda events: events.slice(1))
        return source

    def days(self, source: LogSource) -> Window:
        """The backlog and a week more."""
        return Window(source.window().days[0], source.window().days[7])
