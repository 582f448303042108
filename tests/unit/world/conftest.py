"""One tiny world, simulated once, for every test of `ml.world`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from ml.sources.contract import TABLES
from ml.world.settings import WorldSettings
from ml.world.simulator import simulate

Query = Callable[[str], pd.DataFrame]


@pytest.fixture(scope="session")
def tiny() -> WorldSettings:
    return WorldSettings(users=150, advertisers=40, ads=200)


@pytest.fixture(scope="session")
def world(tiny: WorldSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "landing"
    simulate(tiny, 7, out)
    return out


@pytest.fixture(scope="session")
def open_logs() -> Callable[[Path], Query]:
    """SQL over the raw tables of a directory; `date` is the filing day."""

    def open_directory(root: Path) -> Query:
        con = duckdb.connect()
        for table in TABLES:
            files = f"read_parquet('{root}/{table}/date=*/part-0.parquet', hive_partitioning=true)"
            con.execute(f"CREATE VIEW {table} AS SELECT * FROM {files}")
        return lambda sql: con.execute(sql).df()

    return open_directory


@pytest.fixture(scope="session")
def query(world: Path, open_logs: Callable[[Path], Query]) -> Query:
    """SQL over the tiny world."""
    return open_logs(world)
