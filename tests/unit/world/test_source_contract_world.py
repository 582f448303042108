"""WorldSource keeps the source contract: simulated on first use, delivered like anybody's logs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from ml.sources.base import LogSource
from ml.sources.world import WorldSource
from ml.timeline import Window
from ml.world.settings import WorldSettings
from tests.contracts.source_contract import SourceContract

SETTINGS = WorldSettings(users=40, advertisers=24, ads=60, days=14, outcome_days=7)


class TestWorldSource(SourceContract):
    sparse = True

    def make(self, root: Path) -> LogSource:
        return WorldSource(SETTINGS, 1, root)

    def make_changed(self, root: Path) -> LogSource:
        return WorldSource(SETTINGS, 2, root)

    def days(self, source: LogSource) -> Window:
        first = source.window().first
        return Window(first, first + timedelta(days=6))
