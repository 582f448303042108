"""The rules of the raw-log contract, applied to a batch of rows as delivered: which are good, which are not, and why.

All in DuckDB, set-based. A row gets one reason, the first that applies: a value that breaks its column's rule, a
time that does not fit, a reference to nothing, a key that is already there. It does not know where rows come
from or go to (`ml.sources.ingest` does).

Reasons read `<column>: <what is wrong>`:

    event_time: missing                    null (or blank text) in a required column
    position: not a BIGINT                 cannot be cast without loss
    value: not a finite number             NaN or infinite
    attribution: not one of click, view, none
    price: below 0                         also `above ...`
    event_time: not on its filing day      logs; in a backlog partition: after it
    updated_at: after its filing day       a row cannot be delivered before its own change
    known_at: before event_time
    ad_id: not found in ads                no good row with that key up to the row's day
    click_id: delivered twice              the very same row is kept once
    click_id: conflicts with another row   same key, other content; the first by (day, sort order) is kept
    kind: value not in the mapping         and what else a source says itself of a row
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa

from ml.lake import Lake
from ml.sources.contract import TABLES, Column, Table
from ml.sources.files import literal, quoted
from ml.timeline import Window

FAULT = "_fault"
"""Column of a batch with the source's own reason against a row, if it has one: that comes before every rule."""
TRUE, FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
"""Spellings of a BOOLEAN; anything else is not one: a consent of 2 or -1 must not read as given."""


@dataclass(frozen=True)
class Verdict:
    """A batch after the rules.

    Attributes:
        good: typed rows: `_day` and the contract's columns, ordered by day and the table's sort order.
        bad: `_day`, the contract's columns as text as they were delivered, and `reason`; same order of columns always.
    """

    good: pa.Table
    bad: pa.Table


class Rules:
    """Judges batches table by table and day by day; remembers the keys of good rows.

    Args:
        con: a DuckDB connection of its own.
        lake: what is already there counts for keys and references,
        window: except for these days, which are being replaced.
        backlog_day: filing day under which events from before it are right, if the source has one.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, lake: Lake, window: Window, backlog_day: date | None = None
    ) -> None:
        self.con = con
        self.backlog_day = backlog_day
        # Text with an offset is cast by way of TIMESTAMPTZ; without one it counts as UTC.
        con.execute("SET TimeZone = 'UTC'")
        for table in TABLES.values():
            con.execute(f"CREATE TEMP TABLE keys_{table.name} (key VARCHAR, day DATE)")
            days = [day for day in lake.days(table.name) if day not in window]
            if days:
                files = [str(lake.path(table.name, day)) for day in days]
                con.execute(
                    f"INSERT INTO keys_{table.name} SELECT {table.key}, date FROM "
                    "read_parquet($files, hive_partitioning = true, hive_types = {'date': DATE})",
                    {"files": files},
                )

    def judge(self, table: Table, batch: pa.Table) -> Verdict:
        """Apply the rules to one batch: whole days, later than all batches of this table before.

        Args:
            table: the contract's table.
            batch: `_day` (DATE) and any of the contract's columns, of any type; lacks none that is required. May have
                FAULT as well.
        """
        batch = batch.append_column("_row", pa.array(range(batch.num_rows), pa.int64()))
        self.con.register("batch", batch)
        try:
            self._type_and_check(table)
            if batch.num_rows:
                self._check_references(table)
                self._check_keys(table)
            order = ", ".join(dict.fromkeys(["_day", *table.sort_order, *table.column_names]))
            good = self._fetch(f"SELECT _day, {_listed(table)} FROM typed WHERE reason IS NULL ORDER BY {order}")
            present = set(batch.column_names)
            as_text = ", ".join(
                f"{f'batch.{quoted(name)}' if name in present else 'NULL'}::VARCHAR AS {quoted(name)}"
                for name in table.column_names
            )
            bad = self._fetch(
                f"SELECT batch._day, {as_text}, reason FROM batch JOIN typed USING (_row) WHERE reason IS NOT NULL "
                "ORDER BY batch._day, _row"
            )
            self.con.execute(f"INSERT INTO keys_{table.name} SELECT {table.key}, _day FROM typed WHERE reason IS NULL")
        finally:
            self.con.unregister("batch")
        return Verdict(good, bad)

    def _fetch(self, query: str) -> pa.Table:
        return self.con.sql(query).to_arrow_table()

    def _type_and_check(self, table: Table) -> None:
        """Create `typed`: `_row`, `_day`, the contract's columns, `reason` (null so far for good rows)."""
        types = dict(self.con.execute("SELECT column_name, column_type FROM (DESCRIBE batch)").fetchall())
        raw = f"{FAULT}, " if FAULT in types else ""
        raw += ", ".join(
            f"{quoted(c.name) if c.name in types else 'NULL'} AS {quoted('raw_' + c.name)}" for c in table.columns
        )
        cast = ", ".join(f"{_cast(c, types.get(c.name, 'NULL'))} AS {quoted(c.name)}" for c in table.columns)
        cases = [*_value_rules(table), *self._time_rules(table)]
        whens = f"WHEN {FAULT} IS NOT NULL THEN {FAULT} " if FAULT in types else ""
        whens += " ".join(f"WHEN {broken} THEN {literal(reason)}" for broken, reason in cases)
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE typed AS SELECT _row, _day, {_listed(table)}, CASE {whens} END AS reason "
            f"FROM (SELECT *, {cast} FROM (SELECT _row, _day, {raw} FROM batch))"
        )

    def _time_rules(self, table: Table) -> Iterator[tuple[str, str]]:
        if table.kind == "log":
            wrong = "event_time::DATE <> _day"
            if self.backlog_day:
                wrong += f" AND NOT (_day = DATE '{self.backlog_day}' AND event_time < _day)"
            yield wrong, "event_time: not on its filing day"
        if "updated_at" in table.column_names:
            yield "updated_at::DATE > _day", "updated_at: after its filing day"
        if "known_at" in table.column_names:
            yield "known_at < event_time", "known_at: before event_time"

    def _check_references(self, table: Table) -> None:
        for column in table.columns:
            if column.references:
                self.con.execute(
                    f"""UPDATE typed SET reason = {literal(f"{column.name}: not found in {column.references}")}
                    WHERE reason IS NULL AND {column.name} IS NOT NULL AND NOT EXISTS (
                        SELECT 1 FROM keys_{column.references} known
                        WHERE known.key = typed.{column.name} AND known.day <= typed._day)"""
                )

    def _check_keys(self, table: Table) -> None:
        """One row per key in a log; per key, day and moment of change in a register."""
        unique = [table.key]
        if table.kind == "register":
            unique += ["_day"] + ["updated_at"] * ("updated_at" in table.column_names)
        else:
            self.con.execute(
                f"""UPDATE typed SET reason = {literal(f"{table.key}: conflicts with another row")}
                WHERE reason IS NULL AND {table.key} IN (SELECT key FROM keys_{table.name})"""
            )
        by = ", ".join(unique)
        # Between two rows of the same moment the one without consent must win.
        consent = ["consent"] * ("consent" in table.column_names)
        order = ", ".join(dict.fromkeys(["_day", *consent, *table.sort_order, *table.column_names]))
        self.con.execute(
            f"""UPDATE typed SET reason = CASE WHEN again.same THEN {literal(f"{table.key}: delivered twice")}
                ELSE {literal(f"{table.key}: conflicts with another row")} END
            FROM (SELECT _row, row_number() OVER place AS nth,
                         content IS NOT DISTINCT FROM first_value(content) OVER place AS same
                  FROM (SELECT *, row({_listed(table)}) AS content FROM typed WHERE reason IS NULL
                        AND ({by}) IN (SELECT ({by}) FROM typed WHERE reason IS NULL GROUP BY {by} HAVING count(*) > 1))
                  WINDOW place AS (PARTITION BY {by} ORDER BY {order})) again
            WHERE typed._row = again._row AND again.nth > 1"""
        )


def _listed(table: Table) -> str:
    return ", ".join(map(quoted, table.column_names))


def _cast(column: Column, delivered: str) -> str:
    """SQL of the typed value, null where the delivered one cannot be cast."""
    raw = quoted("raw_" + column.name)
    if column.type == "TIMESTAMP" and delivered not in ("TIMESTAMP", "DATE"):
        return f"TRY_CAST({raw} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
    if column.type == "BOOLEAN" and delivered != "BOOLEAN":
        text = f"lower(trim({raw}::VARCHAR))"
        return f"CASE WHEN {text} IN {TRUE} THEN true WHEN {text} IN {FALSE} THEN false END"
    return f"TRY_CAST({raw} AS {column.type})"


def _value_rules(table: Table) -> Iterator[tuple[str, str]]:
    """(SQL that is true for a row that breaks the rule, reason), column by column."""
    for column in table.columns:
        name, raw = quoted(column.name), quoted("raw_" + column.name)
        if not column.nullable:
            blank = f" OR trim({name}) = ''" if column.type == "VARCHAR" else ""
            yield f"{raw} IS NULL{blank}", f"{column.name}: missing"
        lossy = {
            "BIGINT": f" OR TRY_CAST({raw} AS DOUBLE) <> {name}",
            "TIMESTAMP": f" OR NOT isfinite({name})",
            "DATE": f" OR NOT isfinite({name})",
        }.get(column.type, "")
        yield f"({raw} IS NOT NULL AND {name} IS NULL){lossy}", f"{column.name}: not a {column.type}"
        if column.type == "DOUBLE":
            yield f"NOT isfinite({name})", f"{column.name}: not a finite number"
        if column.allowed:
            values = ", ".join(map(literal, column.allowed))
            yield f"{name} NOT IN ({values})", f"{column.name}: not one of {', '.join(column.allowed)}"
        if column.minimum is not None:
            yield f"{name} < {column.minimum}", f"{column.name}: below {column.minimum:g}"
        if column.maximum is not None:
            yield f"{name} > {column.maximum}", f"{column.name}: above {column.maximum:g}"
