"""ParquetLogs: a user's own logs, in any sensible layout, local or on S3, read as the raw-log contract by a mapping.

| in the mapping | in the contract |
|---|---|
| a block with `files` | its rows, column by column; several blocks of a table are appended |
| a block with `derive_from` | a row an id and day on which it occurs; active_from first_day, updated_at that day |
| a table that is not mapped | nothing: it is not delivered |

Nothing is dropped but what the mapping says: events outside first_day..last_day, rows that `only` excludes, older
versions of register rows from before first_day. A value that cannot be read as mapped is delivered as it came, with
the reason in `_fault`, for ingest to quarantine. Reading a day opens only the files that can hold rows of it where
paths name days, and else lets Parquet's statistics skip what cannot; what is held in memory is what is asked for.

Try it: `ParquetLogs("s3://bucket/logs", load_log_mapping(Path("mapping.yaml"))).read("conversions", window)`
"""

from __future__ import annotations

from contextlib import closing
from datetime import date
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa

from ml.artifacts import fingerprint_of
from ml.errors import BadInput
from ml.sources.contract import TABLES
from ml.sources.files import quoted
from ml.sources.log_columns import Reading
from ml.sources.log_files import RawFile, RawFiles, last_whole
from ml.sources.log_mapping import LogMapping
from ml.sources.log_parts import Part, parts_of, resolve
from ml.sources.log_problems import problems_of
from ml.sources.log_rows import CONSENTED, days_of, needed, select
from ml.sources.log_staging import staged
from ml.sources.problem import Problem
from ml.sources.rules import FAULT
from ml.timeline import Window

LONGEST_YEARS = 30
"""Logs longer than that have a stray time in them."""


class ParquetLogs:
    """A LogSource over the files that `mapping` names below `data`; directories are listed once."""

    def __init__(self, data: str | Path, mapping: LogMapping) -> None:
        self.raw = RawFiles(data)
        self.mapping = mapping
        self.name = mapping.name

    def tables(self) -> set[str]:
        """Those that the mapping names."""
        return set(self.mapping.tables)

    def window(self) -> Window:
        """From the mapping's `first_day` to its `last_day`, or to the last day that the files cover."""
        first, last = self.mapping.first_day, self.mapping.last_day or self._last_covered
        if last is None and (lacking := self._without_files()):
            raise lacking.no_files(self.raw).error()
        if last is None or last < first:
            raise BadInput(
                f"no event on or after first_day {first} (last one: {last})",
                where=f"{self.raw.root}, mapping {self.name}",
                remedy="set first_day in the mapping to a day before the last event",
            )
        if last.year - first.year > LONGEST_YEARS:
            raise BadInput(
                f"the events reach from {first} to {last}: one of them has a wrong time",
                where=f"{self.raw.root}, mapping {self.name}",
                remedy="state last_day in the mapping; what lies after it is not read",
            )
        return Window(first, last)

    def read(self, table: str, window: Window) -> pa.Table:
        """See LogSource.read; columns in the contract's order, then `_fault` and `_day`, ordered by day."""
        if table not in self.tables():
            what = f"the mapping has no {table}"
            raise BadInput(what, where=self.name, remedy=f"ask for {', '.join(self.mapping.tables)}, or map {table}")
        window = Window(window.first, min(window.last, self.window().last))
        parts = self._parts[table]
        for part in parts:
            if not part.files:
                raise part.no_files(self.raw).error()
        files = [file for part in parts for file in needed(self.mapping, part, window)]
        if not files:
            names = [*TABLES[table].column_names, FAULT]
            return pa.schema([*((name, pa.string()) for name in names), ("_day", pa.date32())]).empty_table()
        with closing(self.raw.connect()) as con:
            selects = [
                one for part in parts for one in self._selects(con, part, needed(self.mapping, part, window), window)
            ]
            if table == "users":
                self._load_consented(con)
            with self.raw.reading(files):
                return staged(con, TABLES[table], selects, window, self.mapping.first_day, derived=parts[0].derived)

    def fingerprint(self, day: date | None = None) -> str:
        """See LogSource.fingerprint; of local files' bytes, of objects' ETags, and of the mapping.

        Only files whose paths name days tell one day from another.
        """
        parts = [part for parts in self._parts.values() for part in parts]
        files = {
            f.name: f for part in parts for f in (needed(self.mapping, part, Window(day, day)) if day else part.files)
        }
        if self.mapping.consent_list:
            files |= {file.name: file for file in self.raw.find(self.mapping.consent_list.files)}
        listed = self.raw.fingerprint([files[name] for name in sorted(files)])
        return fingerprint_of([self.mapping.model_dump_json(exclude={"last_day", "sparse"}), listed])

    def problems(self) -> list[Problem]:
        """Everything that keeps the files from being read as mapped; see `ml.sources.log_problems`."""
        return problems_of(self.raw, self.mapping)

    def sound(self) -> ParquetLogs:
        """The same logs without the tables whose files are not there."""
        gone = [table for table, found in self._parts.items() if not all(part.files for part in found)]
        return ParquetLogs(self.raw.root, self.mapping.model_copy(update=dict.fromkeys(gone))) if gone else self

    def _without_files(self) -> Part | None:
        """The first part of a log whose patterns match nothing."""
        logs = [part for table in self.mapping.tables if TABLES[table].kind == "log" for part in self._parts[table]]
        return next((part for part in logs if not part.files), None)

    @cached_property
    def _parts(self) -> dict[str, list[Part]]:
        """Parts of each table with their files.

        Raises:
            BadInput: DATA cannot be listed.
        """
        return {table: parts_of(self.mapping, table, self.raw) for table in self.mapping.tables}

    def _selects(
        self, con: duckdb.DuckDBPyConnection, part: Part, files: list[RawFile], window: Window | None
    ) -> list[tuple[str, dict[str, Reading]]]:
        """SQL for each set of files with the same columns."""
        delimiter = part.block.delimiter
        alike: dict[tuple[object, ...], list[RawFile]] = {}
        for file in files:
            columns = self.raw.columns(con, file, delimiter)
            alike.setdefault((file.kind, *columns.items(), *file.keys), []).append(file)
        found = []
        for group in alike.values():
            inside = self.raw.columns(con, group[0], delimiter)
            types = dict.fromkeys(group[0].keys, "VARCHAR") | inside
            readings, problems = resolve(self.mapping, part, group[0], types, known=self._known(con, part))
            if problems:
                raise problems[0].error()
            relation = self.raw.sql(group, delimiter)
            found.append((select(self.mapping, part, group, inside, readings, relation, window), readings))
        return found

    def _known(self, con: duckdb.DuckDBPyConnection, part: Part) -> frozenset[str]:
        """Columns of the first and the last file: what one of them has, others may lack if it may be null."""
        ends = {part.files[0], part.files[-1]}
        return frozenset(name for file in ends for name in self.raw.columns(con, file, part.block.delimiter))

    def _load_consented(self, con: duckdb.DuckDBPyConnection) -> None:
        listed = self.mapping.consent_list
        if listed is None:
            return
        files = self.raw.find(listed.files)
        if not files:
            where, remedy = f"{self.raw.root}: {', '.join(listed.files)}", "correct consent_list.files, or deliver them"
            raise BadInput("no such file", where=where, remedy=remedy)
        con.execute(f"CREATE TEMP TABLE {CONSENTED} (id VARCHAR)")
        for file in files:
            present = self.raw.columns(con, file, listed.delimiter)
            if listed.column not in present:
                what = f"no column {listed.column!r}; the file has {', '.join(present)}"
                raise BadInput(what, where=file.url, remedy="name the right column in consent_list.column")
            with self.raw.reading([file]):
                ids = f"SELECT {quoted(listed.column)}::VARCHAR FROM {self.raw.sql([file], listed.delimiter)}"
                con.execute(f"INSERT INTO {CONSENTED} {ids}")

    @cached_property
    def _last_covered(self) -> date | None:
        """The last UTC day that files of days cover whole; without such files the day of the last event."""
        logs = [part for table in self.mapping.tables if TABLES[table].kind == "log" for part in self._parts[table]]
        by_day = [part for part in logs if part.block.has_day]
        if by_day:
            named = ((file.day, part.block) for part in by_day for file in part.files if file.day)
            return max((last_whole(day, days_of(self.mapping, block)) for day, block in named), default=None)
        with closing(self.raw.connect()) as con:
            found: list[date | None] = []
            for part in logs:
                for sql, _ in self._selects(con, part, part.files, None):
                    with self.raw.reading(part.files):
                        found += con.execute(f"SELECT max(_day) FROM ({sql})").fetchall()[0]
        return max((day for day in found if day is not None), default=None)
