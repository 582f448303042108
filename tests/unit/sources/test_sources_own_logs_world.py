"""Truth by construction: the simulated world, exported in other layouts and read back, is the same lake."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from ml.lake import Lake
from ml.sources.contract import TABLES
from ml.sources.contract_logs import ContractLogs
from ml.sources.ingest import ingest
from ml.sources.log_files import RawFiles
from ml.sources.parquet_logs import ParquetLogs
from ml.timeline import Window
from ml.world.settings import WorldSettings
from ml.world.simulator import simulate
from tests.unit.sources.sources_layouts import FLAT, HIVE, IDS, Layout, views

SETTINGS = WorldSettings(users=40, advertisers=12, ads=40, days=12, outcome_days=2, warm_up_days=7)
DAYS = SETTINGS.window


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "landing"
    simulate(SETTINGS, 7, out)
    return out


@pytest.fixture(scope="module")
def lake(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("truth")
    found = Lake(root / "lake")
    ingest(ContractLogs(landing, "world"), DAYS, found, root / "quarantine", sparse=False)
    return found


def read_back(layout: Layout, landing: Path, root: Path) -> tuple[Lake, ParquetLogs]:
    with views(landing) as con:
        layout.write(con, root / "exported")
    source = ParquetLogs(root / "exported", layout.mapping(first_day=DAYS.first, last_day=DAYS.last))
    report = ingest(source, DAYS, Lake(root / "lake"), root / "quarantine", sparse=False, chunk_days=5)
    assert {name: table.reasons for name, table in report.tables.items() if table.reasons} == {}
    return Lake(root / "lake"), source


def content(lake: Lake) -> dict[str, bytes]:
    return {str(path.relative_to(lake.root)): path.read_bytes() for path in lake.root.rglob("*.parquet")}


def test_local_days_on_a_local_clock_are_the_same_bytes(landing: Path, lake: Lake, tmp_path: Path) -> None:
    found, _ = read_back(HIVE, landing, tmp_path)
    assert content(found) == content(lake)


def test_renamed_scaled_hashed_and_flat_are_the_same_rows(landing: Path, lake: Lake, tmp_path: Path) -> None:
    found, _ = read_back(FLAT, landing, tmp_path)
    with duckdb.connect() as con:
        for table in TABLES.values():
            hashed = ", ".join(f"md5({name}) AS {name}" for name in table.column_names if name in IDS)
            files = "read_parquet('{}/{}/date=*/*.parquet', hive_partitioning = true)"
            truth = f"SELECT * REPLACE ({hashed}) FROM {files.format(lake.root, table.name)}"
            mine = f"SELECT * FROM {files.format(found.root, table.name)}"
            assert con.sql(f"({truth}) EXCEPT ALL ({mine})").fetchall() == [], table.name
            assert con.sql(f"({mine}) EXCEPT ALL ({truth})").fetchall() == [], table.name


def test_a_day_opens_its_own_files_only(landing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, source = read_back(HIVE, landing, tmp_path)
    opened: set[str] = set()
    sql = RawFiles.sql
    monkeypatch.setattr(
        RawFiles,
        "sql",
        lambda self, files, delimiter: opened.update(f.name for f in files) or sql(self, files, delimiter),
    )
    day = DAYS.days[5]
    source.read("impressions", Window(day, day))
    # A UTC day is part of two days in New York.
    assert {name.split("/")[2] for name in opened} == {f"dt={DAYS.days[4]}", f"dt={day}"}
