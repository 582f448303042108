"""The lake: validated tables as Parquet, one directory a table and UTC day; on a local disk or on S3.

    <root>/<table>/date=YYYY-MM-DD/part-0.parquet      rows sorted by user, then time

`connect` opens DuckDB with a view per table; `connect(as_of=x)` is the only way anything that predicts
reads the lake: its views hold nothing that was not known by the end of day x.
"""

from __future__ import annotations

import re
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ml.places import put, storage_errors
from ml.sources.contract import TABLES, Table
from ml.timeline import end_of

if TYPE_CHECKING:
    from upath import UPath

KNOWN = {
    "conversions": "coalesce(known_at, event_time)",
    "users": "updated_at",
}
"""When a row became known, where that is not simply its `event_time` or delivery day."""
PARTITION = re.compile(r"([^/]+)/date=(\d{4}-\d{2}-\d{2})/part-0\.parquet")


class Lake:
    """Paths and connections of one lake.

    Args:
        root: a local directory, or an S3 prefix (see `ml.places.place`).
    """

    def __init__(self, root: Path | UPath) -> None:
        self.root = root

    @property
    def spill(self) -> Path:
        """Local directory for what does not fit in memory."""
        return self.root / ".spill" if isinstance(self.root, Path) else Path(tempfile.gettempdir()) / "adprior-spill"

    def path(self, table: str, day: date) -> Path | UPath:
        return self.root / table / f"date={day.isoformat()}" / "part-0.parquet"

    def days(self, table: str) -> list[date]:
        """Days that hold a partition of `table`, oldest first."""
        return self.partitions(table).get(table, [])

    def write_day(self, table: str, day: date, rows: pa.Table) -> Path | UPath:
        """Replace one partition atomically; `rows` are already typed and sorted (see `ml.sources.ingest`)."""
        path = self.path(table, day)
        if not isinstance(path, Path):
            content = pa.BufferOutputStream()
            pq.write_table(rows, content, compression="zstd")
            with storage_errors(path):
                put(content.getvalue().to_pybytes(), path)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        pq.write_table(rows, temporary, compression="zstd")
        temporary.replace(path)
        return path

    def remove_day(self, table: str, day: date) -> None:
        """Remove one partition that is there."""
        path = self.path(table, day)
        with storage_errors(path):
            path.unlink()

    def connect(self, as_of: date | None = None, *, memory_limit: str = "2GB") -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB with one view per contract table (registers: newest row per key).

        Args:
            as_of: show only what was known by the end of this day; None shows everything (evaluation only).
            memory_limit: DuckDB's own limit; past it, it spills to disk.
        """
        con = duckdb.connect(config={"memory_limit": memory_limit, "preserve_insertion_order": True})
        con = self.attach(con)
        present = self.partitions()
        for table in TABLES.values():
            con.execute(f"CREATE VIEW {table.name} AS {self._select(table, present.get(table.name, []), as_of)}")
        return con

    def attach(self, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Let a connection read this lake's files wherever they lie; use the connection it returns."""
        if isinstance(self.root, Path):
            return con
        from ml.s3_reader import attach

        return attach(con, self.root)

    def scan(self, table: str, days: list[date]) -> str:
        """SQL of the rows of these partitions (`days` as listed before, not empty), with their `date`."""
        files = f"'{self.root}/{table}/date=*/part-0.parquet'"
        if not isinstance(self.root, Path):  # a pattern would be listed again by every query
            files = str([str(self.path(table, day)) for day in days])
        return f"read_parquet({files}, hive_partitioning=true)"

    def partitions(self, table: str | None = None) -> dict[str, list[date]]:
        """Days that hold a partition, by table, oldest first: of one table, or of all by one listing."""
        if isinstance(self.root, Path):
            pattern = f"{table or '*'}/date=*/part-0.parquet"
            found = [path.relative_to(self.root).as_posix() for path in self.root.glob(pattern)]
        else:
            with storage_errors(self.root):
                keys = self.root.fs.find((self.root / table if table else self.root).path)
            found = [key.removeprefix(f"{self.root.path.rstrip('/')}/") for key in keys]
        days: dict[str, list[date]] = {}
        for match in filter(None, map(PARTITION.fullmatch, sorted(found))):
            days.setdefault(match[1], []).append(date.fromisoformat(match[2]))
        return days

    def _select(self, table: Table, days: list[date], as_of: date | None) -> str:
        if not days:
            empty = ", ".join(f"NULL::{column.type} AS {column.name}" for column in table.columns)
            return f"SELECT {empty} WHERE false"
        columns = ", ".join(table.column_names)
        where = "true"
        if as_of is not None:
            known = KNOWN.get(table.name, "event_time" if table.kind == "log" else "date::TIMESTAMP")
            where = f"date <= DATE '{as_of}' AND {known} < TIMESTAMP '{end_of(as_of)}'"
        newest = ""
        if table.kind == "register":
            # Of two rows of one moment, the one without consent counts.
            order = "updated_at DESC, date DESC, consent" if table.name == "users" else "date DESC"
            newest = f"QUALIFY row_number() OVER (PARTITION BY {table.key} ORDER BY {order}) = 1"
        return f"SELECT {columns} FROM {self.scan(table.name, days)} WHERE {where} {newest}"
