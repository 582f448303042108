"""Rows that break the contract: per table and reason how many, where, an example and a remedy.

Reads what an ingest put into quarantine, so it counts what a run would count. Rows that point to a row which is
itself set aside, or to a file that could not be read, are told apart: mending the cause mends them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from ml.lake import Lake
from ml.sources.contract import TABLES
from ml.sources.files import literal
from ml.sources.ingest import TableReport
from ml.sources.inspection.remedies import TODAYS, remedy_of, shown


@dataclass(frozen=True)
class RowFault:
    """All rows of one table that were set aside for one reason.

    Attributes:
        table, reason, column: which; the reason as `ml.sources.rules` words it.
        rows: how many; `share` of the table's rows over all days.
        first_day, days: the first filing day, and how many days have any.
        worst_day, worst_share: the day with the largest quarantined share of the table (all reasons), among `days`.
        example: key and value of one such row.
        remedy: what to do.
        of_unread: of `rows`, those that cannot be judged until an unreadable file or missing table is there.
    """

    table: str
    reason: str
    column: str
    rows: int
    share: float
    first_day: date
    days: int
    worst_day: date
    worst_share: float
    example: str
    remedy: str
    of_unread: int = 0


def row_faults(
    con: duckdb.DuckDBPyConnection,
    reports: dict[str, TableReport],
    lake: Lake,
    quarantine: Path,
    unsound: Collection[str],
) -> list[RowFault]:
    """Every (table, reason) with rows in quarantine, in the contract's order, most rows first.

    Args:
        con: any DuckDB connection.
        reports: of the ingest that filled lake and quarantine.
        lake: good rows.
        quarantine: root of the bad ones.
        unsound: tables that are missing, or not read completely.
    """
    found: list[RowFault] = []
    tainted = set(unsound)
    for name in TABLES:
        report = reports.get(name)
        if report is None or not report.quarantined:
            continue
        for reason in sorted(report.reasons, key=lambda r: -report.reasons[r]):
            fault = _fault(con, name, reason, report, lake, quarantine, unsound, tainted)
            found.append(fault)
            if fault.of_unread:
                tainted.add(name)
    return found


def _fault(
    con: duckdb.DuckDBPyConnection,
    name: str,
    reason: str,
    report: TableReport,
    lake: Lake,
    quarantine: Path,
    unsound: Collection[str],
    tainted: Collection[str],
) -> RowFault:
    table, column = TABLES[name], reason.partition(": ")[0]
    bad = _rows_of(quarantine, name)
    mine = f"(SELECT * FROM {bad} WHERE reason = {literal(reason)})"
    by_day = dict(con.execute(f"SELECT _day, count(*) FROM {mine} GROUP BY ALL ORDER BY ALL").fetchall())
    key, value, day = con.execute(
        f"SELECT {table.key}, {column}, _day FROM {mine} ORDER BY _day, {table.key}, {column} LIMIT 1"
    ).fetchall()[0]
    example = f"{table.key} {shown(table, table.key, key)} of {day}"
    if column != table.key:
        example += f": {column} = {shown(table, column, value)}"
    shares = {d: report.quarantined_by_day[d] / _delivered(report, d) for d in by_day}
    worst = max(shares, key=lambda d: (shares[d], -d.toordinal()))
    remedy, of_unread = remedy_of(name, reason), 0
    other = reason.partition(": not found in ")[2]
    if other:
        remedy, of_unread = _reference(con, mine, column, other, lake, quarantine, remedy, unsound, tainted)
    elif reason == "event_time: not on its filing day":
        remedy = _misfiled(con, mine) or remedy
    rows = report.reasons[reason]
    share = rows / max(report.rows_in, 1)
    return RowFault(
        name, reason, column, rows, share, min(by_day), len(by_day), worst, shares[worst], example, remedy, of_unread
    )


def _delivered(report: TableReport, day: date) -> int:
    return max(report.rows_by_day[day] + report.quarantined_by_day[day], 1)


def _rows_of(root: Path, name: str) -> str:
    return f"read_parquet({literal(root / name / 'date=*' / '*.parquet')}, hive_partitioning = false)"


def _reference(
    con: duckdb.DuckDBPyConnection,
    mine: str,
    column: str,
    other: str,
    lake: Lake,
    quarantine: Path,
    remedy: str,
    unsound: Collection[str],
    tainted: Collection[str],
) -> tuple[str, int]:
    """A closer remedy for rows that point nowhere, and how many of them cannot be judged yet."""
    rows = con.execute(f"SELECT count(*) FROM {mine}").fetchall()[0][0]
    if other in unsound:
        return f"read again when {other} can be read whole", rows
    key, aside, later = TABLES[other].key, 0, 0
    if (quarantine / other).exists():
        keys = f"(SELECT {key} FROM {_rows_of(quarantine, other)})"
        aside = con.execute(f"SELECT count(*) FROM {mine} WHERE {column} IN {keys}").fetchall()[0][0]
    if aside and other in tainted:
        return f"read again when the rows of {other} can be judged", aside
    if days := lake.days(other):
        keys = f"(SELECT {key} FROM {lake.scan(other, days)})"
        later = con.execute(f"SELECT count(*) FROM {mine} WHERE {column} IN {keys}").fetchall()[0][0]
    if aside > rows / 2:
        remedy = f"{_of(aside, rows)} to rows of {other} that are set aside themselves: mend those first"
    elif later > rows / 2:
        remedy = (
            f"{_of(later, rows)} to rows of {other} that are delivered on a later day: "
            f"file a row of {other} no later than the first event that names it"
            + (f". {TODAYS}" if other == "users" else "")
        )
    return remedy, 0


def _of(some: int, rows: int) -> str:
    if some == rows:
        return "it points" if rows == 1 else f"all {rows:,} point"
    return f"{some:,} of them {'points' if some == 1 else 'point'}"


def _misfiled(con: duckdb.DuckDBPyConnection, mine: str) -> str | None:
    """A closer remedy where the times lie beside their day by a few hours: a time zone."""
    hours = "epoch(TRY_CAST(event_time AS TIMESTAMP) - _day::TIMESTAMP) / 3600"
    n, before, after = con.execute(
        f"SELECT count(*), count(*) FILTER ({hours} BETWEEN -14 AND 0), count(*) FILTER ({hours} BETWEEN 24 AND 38) "
        f"FROM {mine}"
    ).fetchall()[0]
    for near, side, where in ((before, "before", "ahead of"), (after, "after", "behind")):
        if near > 0.9 * n:
            return (
                f"{'all' if near == n else f'all but {n - near:,}'} lie hours {side} their day, as if days were cut in "
                f"a time zone {where} UTC: file rows by the UTC day of event_time, or state that zone in a mapping "
                "(`day_zone`)"
            )
    return None
