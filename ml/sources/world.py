"""The `world` source: raw logs of the simulated world, simulated on first use.

It does not simulate (`ml.world` does) and reads what was simulated like any other logs in contract layout.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from ml.artifacts import read_manifest
from ml.progress import Progress, silent
from ml.sources.base import LogSource
from ml.sources.contract import TABLES
from ml.sources.problem import Problem
from ml.timeline import Window
from ml.world.settings import WorldSettings
from ml.world.simulator import simulate, world_fingerprint

if TYPE_CHECKING:
    from ml.sources.contract_logs import ContractLogs


class WorldSource:
    """Logs of one world.

    Args:
        settings: the world.
        seed: all its randomness.
        landing: directory of its raw logs; made on first use, made anew when it holds another world.
        progress: told of simulated days.
    """

    name = "world"

    def __init__(self, settings: WorldSettings, seed: int, landing: Path, progress: Progress = silent) -> None:
        self.settings, self.seed, self.landing, self.progress = settings, seed, landing, progress
        self._fingerprint = world_fingerprint(settings, seed)
        self._logs: ContractLogs | None = None

    def ensure(self) -> Path:
        """Simulate unless `landing` holds this very world, complete; returns `landing`."""
        manifest = read_manifest(self.landing)
        if manifest is None or manifest.get("fingerprint") != self._fingerprint:
            simulate(self.settings, self.seed, self.landing, self.progress)
        return self.landing

    def window(self) -> Window:
        """First and last logged day; known without simulating."""
        return self.settings.window

    def tables(self) -> set[str]:
        """All tables of the contract."""
        return set(TABLES)

    def read(self, table: str, window: Window) -> pa.Table:
        """Rows filed under the days of `window`, with `_day`; see `ml.sources.base.LogSource`."""
        return self._delivery().read(table, window)

    def problems(self) -> list[Problem]:
        """Of the files in `landing`, which somebody may have changed; simulates if there are none yet."""
        return self._delivery().problems()

    def sound(self) -> LogSource:
        """The logs in `landing` without directories that have a wrong name."""
        return self._delivery().sound()

    def fingerprint(self, day: date | None = None) -> str:
        """Of the files in `landing`, so that one changed by hand counts; simulates if there are none yet."""
        return self._delivery().fingerprint(day)

    def _delivery(self) -> ContractLogs:
        from ml.sources.contract_logs import ContractLogs

        if self._logs is None:
            self._logs = ContractLogs(self.ensure(), name=self.name)
        return self._logs
