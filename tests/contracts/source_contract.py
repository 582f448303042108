"""What every source of raw logs must keep. Subclass it, say how to make one, and run it:

    class TestMySource(SourceContract):
        def make(self, root): ...             # a source whose files, if any, lie in `root`
        def make_changed(self, root): ...     # the same one after something it would deliver has changed

`make` is called twice on one `root` (two sources over the same files). Override `days` if the whole window is too
much to ingest in a test, and `sparse` if days without an event are legitimate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.lake import Lake
from ml.sources.base import LogSource
from ml.sources.contract import TABLES
from ml.sources.ingest import REQUIRED, HasBacklog, ingest
from ml.timeline import Window


class SourceContract(ABC):
    sparse = False

    @abstractmethod
    def make(self, root: Path) -> LogSource: ...

    @abstractmethod
    def make_changed(self, root: Path) -> LogSource: ...

    def days(self, source: LogSource) -> Window:
        """The days that the costly tests use."""
        return source.window()

    @pytest.fixture
    def source(self, tmp_path: Path) -> LogSource:
        return self.make(tmp_path / "logs")

    def test_window_and_tables_are_valid(self, source: LogSource) -> None:
        assert source.name
        assert source.window().first <= source.window().last
        assert set(REQUIRED) <= source.tables() <= set(TABLES)

    def test_reads_the_contracts_columns_within_the_window(self, source: LogSource) -> None:
        window = self.days(source)
        for name in source.tables():
            rows = source.read(name, window)
            assert set(TABLES[name].required) <= set(rows.column_names)
            assert rows.schema.field("_day").type == pa.date32()
            assert set(rows["_day"].to_pylist()) <= set(window.days)

    def test_reading_day_by_day_is_reading_the_range(self, source: LogSource) -> None:
        window = self.days(source)
        with duckdb.connect() as con:
            for name in source.tables():
                rows = as_text(con, source.read(name, window))
                days = [as_text(con, source.read(name, Window(day, day))) for day in window.days]
                by_day = pa.concat_tables(days)
                for one, other in ((rows, by_day), (by_day, rows)):
                    con.register("one", one)
                    con.register("other", other)
                    assert not con.execute("SELECT * FROM one EXCEPT ALL SELECT * FROM other").fetchall()

    def test_fingerprint_is_stable_and_changes_with_the_input(self, tmp_path: Path) -> None:
        before = self.make(tmp_path / "logs").fingerprint()
        assert before == self.make(tmp_path / "logs").fingerprint()
        assert before != self.make_changed(tmp_path / "logs").fingerprint()

    def test_ingest_accounts_for_every_row_and_lets_only_good_ones_through(
        self, source: LogSource, tmp_path: Path
    ) -> None:
        window, lake, quarantine = self.days(source), Lake(tmp_path / "lake"), tmp_path / "quarantine"
        report = ingest(source, window, lake, quarantine, sparse=self.sparse)
        for name in source.tables():
            delivered = source.read(name, window).num_rows
            written, set_aside = rows_of(lake, name), rows_of(Lake(quarantine), name)
            assert delivered == written + set_aside
            found = report.tables[name]
            assert (found.rows_in, found.rows, found.quarantined) == (delivered, written, set_aside)
            assert sum(found.reasons.values()) == set_aside
            assert list(found.rows_by_day) == lake.days(name) == window.days
        backlog_day = source.backlog_day if isinstance(source, HasBacklog) else None
        assert broken_rules(lake, backlog_day) == []

    def test_ingesting_again_changes_no_byte(self, source: LogSource, tmp_path: Path) -> None:
        window, lake, quarantine = self.days(source), Lake(tmp_path / "lake"), tmp_path / "quarantine"
        ingest(source, window, lake, quarantine, sparse=self.sparse)
        before = content(lake.root) | content(quarantine)
        half = window.days[len(window.days) // 2 :]
        ingest(source, Window(half[0], half[-1]), lake, quarantine, sparse=self.sparse)
        assert content(lake.root) | content(quarantine) == before


def as_text(con: duckdb.DuckDBPyConnection, rows: pa.Table) -> pa.Table:
    """All values as text: what is compared is what was delivered, not how a file happened to type it."""
    con.register("delivered", rows)
    columns = ", ".join(f'"{name}"::VARCHAR AS "{name}"' for name in sorted(rows.column_names))
    return con.sql(f"SELECT {columns} FROM delivered").to_arrow_table()


def rows_of(lake: Lake, table: str) -> int:
    return sum(pq.read_metadata(lake.path(table, day)).num_rows for day in lake.days(table))


def content(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


ARROW = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
    "DATE": pa.date32(),
}


def broken_rules(lake: Lake, backlog_day: date | None = None) -> list[str]:
    """What in a lake breaks the contract, in words; written with pandas, apart from the code it judges."""
    problems: list[str] = []
    first_day: dict[str, dict[str, date]] = {}
    for name, table in TABLES.items():
        frames = []
        for day in lake.days(name):
            rows = pq.ParquetFile(lake.path(name, day)).read()
            if rows.schema.names != table.column_names or any(
                rows.schema.field(c.name).type != ARROW[c.type] for c in table.columns
            ):
                problems.append(f"{name} {day}: schema {rows.schema}")
            frame = rows.to_pandas(date_as_object=True)
            if not frame.equals(frame.sort_values(table.sort_order[:-1] or [table.key], kind="stable")):
                problems.append(f"{name} {day}: not sorted")
            frames.append(frame.assign(day=day))
        if not frames:
            continue
        everything = pd.concat(frames, ignore_index=True)
        first_day[name] = everything.groupby(table.key)["day"].min().to_dict()
        problems += [f"{name}: {problem}" for problem in _broken_in(everything, name, first_day, backlog_day)]
    return problems


def _broken_in(
    rows: pd.DataFrame, name: str, first_day: dict[str, dict[str, date]], backlog_day: date | None
) -> list[str]:
    table, problems = TABLES[name], []
    for column in table.columns:
        values = rows[column.name].dropna()
        if not column.nullable and (len(values) < len(rows) or (values.astype(str).str.strip() == "").any()):
            problems.append(f"{column.name} missing")
        if column.allowed and not values.isin(column.allowed).all():
            problems.append(f"{column.name} not allowed")
        if column.minimum is not None and (values < column.minimum).any():
            problems.append(f"{column.name} too small")
        if column.maximum is not None and (values > column.maximum).any():
            problems.append(f"{column.name} too large")
        if column.type == "DOUBLE" and values.isin([float("inf"), float("-inf")]).any():
            problems.append(f"{column.name} infinite")
        if column.references:
            found = first_day.get(column.references, {})
            for key, day in zip(values, rows.loc[values.index, "day"], strict=True):
                if key not in found or found[key] > day:
                    problems.append(f"{column.name} {key} refers to nothing")
    unique = [table.key] if table.kind == "log" else [table.key, "day"]
    if "updated_at" in rows:
        unique.append("updated_at")
    if rows.duplicated(unique).any():
        problems.append("key twice")
    if table.kind == "log":
        event_day = rows["event_time"].dt.date
        history = (rows["day"] == backlog_day) & (event_day < rows["day"])
        if ((event_day != rows["day"]) & ~history).any():
            problems.append("event_time on another day")
    return problems
