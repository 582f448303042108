"""The lake: validated tables as Parquet, one directory a table and UTC day.

    <root>/<table>/date=YYYY-MM-DD/part-0.parquet      rows sorted by user, then time

`connect` opens DuckDB with a view per table; `connect(as_of=x)` is the only way anything that predicts
reads the lake: its views hold nothing that was not known by the end of day x.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ml.sources.contract import TABLES, Table
from ml.timeline import end_of

KNOWN = {
    "conversions": "coalesce(known_at, event_time)",
    "users": "updated_at",
}
"""When a row became known, where that is not simply its `event_time` or delivery day."""


class Lake:
    """Paths and connections of one lake directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, table: str, day: date) -> Path:
        return self.root / table / f"date={day.isoformat()}" / "part-0.parquet"

    def days(self, table: str) -> list[date]:
        """Days that hold a partition of `table`, oldest first."""
        found = (self.root / table).glob("date=*/part-0.parquet")
        return sorted(date.fromisoformat(p.parent.name.removeprefix("date=")) for p in found)

    def write_day(self, table: str, day: date, rows: pa.Table) -> Path:
        """Replace one partition atomically; `rows` are already typed and sorted (see `ml.sources.ingest`)."""
        path = self.path(table, day)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        pq.write_table(rows, temporary, compression="zstd")
        temporary.replace(path)
        return path

    def connect(self, as_of: date | None = None, *, memory_limit: str = "2GB") -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB with one view per contract table (registers: newest row per key).

        Args:
            as_of: show only what was known by the end of this day; None shows everything (evaluation only).
            memory_limit: DuckDB's own limit; past it, it spills to disk.
        """
        con = duckdb.connect(config={"memory_limit": memory_limit, "preserve_insertion_order": True})
        for table in TABLES.values():
            con.execute(f"CREATE VIEW {table.name} AS {self._select(table, as_of)}")
        return con

    def _select(self, table: Table, as_of: date | None) -> str:
        if not self.days(table.name):
            empty = ", ".join(f"NULL::{column.type} AS {column.name}" for column in table.columns)
            return f"SELECT {empty} WHERE false"
        columns = ", ".join(table.column_names)
        files = f"read_parquet('{self.root}/{table.name}/date=*/part-0.parquet', hive_partitioning=true)"
        where = "true"
        if as_of is not None:
            known = KNOWN.get(table.name, "event_time" if table.kind == "log" else "date::TIMESTAMP")
            where = f"date <= DATE '{as_of}' AND {known} < TIMESTAMP '{end_of(as_of)}'"
        newest = ""
        if table.kind == "register":
            # Of two rows of one moment, the one without consent counts.
            order = "updated_at DESC, date DESC, consent" if table.name == "users" else "date DESC"
            newest = f"QUALIFY row_number() OVER (PARTITION BY {table.key} ORDER BY {order}) = 1"
        return f"SELECT {columns} FROM {files} WHERE {where} {newest}"
