"""From the rows of all parts of a contract table to one Arrow table, in DuckDB.

Joins the parts under common types, keeps the days asked for, makes derived rows unique, and delivers a value that
could not be read as it came, with the reason in FAULT.
"""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa

from ml.sources.contract import Table
from ml.sources.files import literal, quoted
from ml.sources.log_columns import Reading
from ml.sources.rules import FAULT
from ml.timeline import Window

Select = tuple[str, dict[str, Reading]]
"""SQL of the rows of one set of files (see `ml.sources.log_rows`), and how its columns are read."""


def staged(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    selects: list[Select],
    window: Window,
    first_day: date,
    *,
    derived: bool,
) -> pa.Table:
    """Rows filed under the window: the contract's columns, FAULT and `_day`; by day, then the table's sort order."""
    raw = [name for name in table.column_names if any(one[name].raw for _, one in selects)]
    mixed = {name for name in table.column_names if len({one[name].type for _, one in selects}) > 1}
    union = " UNION ALL ".join(_uniform(table, select, raw, mixed) for select in selects)
    if derived:
        union = _distinct(table, union, raw)
    within = f"_day BETWEEN DATE '{window.first}' AND DATE '{window.last}'"
    newest = _newest(table, first_day) if table.kind == "register" else ""
    con.execute(f"CREATE OR REPLACE TEMP TABLE staged AS SELECT * FROM ({union}) WHERE {within} {newest}")
    faults = {name: next(one[name].fault for _, one in selects if one[name].raw) for name in raw}
    return _delivered(con, table, faults)


def _uniform(table: Table, select: Select, raw: list[str], mixed: set[str]) -> str:
    """The rows with the same columns and types as those of the other files: text where types differ."""
    sql, readings = select
    columns = [f"{quoted(name)}{'::VARCHAR' if name in mixed else ''} AS {quoted(name)}" for name in table.column_names]
    for name in raw:
        value = quoted(f"raw.{name}") if readings[name].raw else "NULL"
        columns.append(f"{value}::VARCHAR AS {quoted(f'raw.{name}')}")
    return f"SELECT {', '.join(columns)}, _filed, _day FROM ({sql})"


def _distinct(table: Table, sql: str, raw: list[str]) -> str:
    """One row an entity and day; of different values the smallest."""
    rest = [quoted(name) for name in (*table.column_names[1:], *(f"raw.{name}" for name in raw))]
    smallest = ", ".join(f"min({name}) AS {name}" for name in rest)
    return f"SELECT {table.key}, {smallest}, _filed, _day FROM ({sql}) WHERE {table.key} IS NOT NULL GROUP BY ALL"


def _newest(table: Table, first_day: date) -> str:
    """Of a register's rows from before the first day only the newest of each key count; the rules judge ties."""
    order = "_filed DESC, updated_at DESC" if "updated_at" in table.column_names else "_filed DESC"
    early = f"_filed < DATE '{first_day}'"
    return f"""QUALIFY {table.key} IS NULL OR NOT {early}
        OR rank() OVER (PARTITION BY {table.key}, {early} ORDER BY {order}) = 1"""


def _delivered(con: duckdb.DuckDBPyConnection, table: Table, faults: dict[str, str]) -> pa.Table:
    broken = {name: f"({quoted(name)} IS NULL AND {quoted(f'raw.{name}')} IS NOT NULL)" for name in faults}
    counts = ", ".join(f"count(*) FILTER {condition}" for condition in broken.values()) or "count(*)"
    found = con.execute(f"SELECT {counts} FROM staged").fetchall()[0]
    unread = [name for name, n in zip(broken, found, strict=False) if n]
    columns = [
        f"coalesce({name}::VARCHAR, {quoted(f'raw.{name}')}) AS {name}" if name in unread else name
        for name in table.column_names
    ]
    whens = " ".join(f"WHEN {broken[name]} THEN {literal(faults[name])}" for name in unread)
    fault = f"CASE {whens} END" if whens else "NULL::VARCHAR"
    order = ", ".join(dict.fromkeys(["_day", *table.sort_order, *table.column_names]))
    query = f"SELECT {', '.join(columns)}, {fault} AS {FAULT}, _day FROM staged ORDER BY {order}"
    return con.sql(query).to_arrow_table()
