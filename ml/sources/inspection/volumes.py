"""Volumes by day: empty days, days far off the days before, and how much of each was set aside.

The measures are those of the blocking check of the raw tables (`ml.validation.raw`), so a day it would stop is
known before anything runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import pandas as pd

from ml.sources.contract import TABLES
from ml.sources.ingest import IngestReport, TableReport
from ml.sources.problem import Problem
from ml.validation.raw import day_measures


@dataclass(frozen=True)
class VolumeLimits:
    """The thresholds of the blocking checks (`checks.*` in the settings)."""

    max_quarantined_share: float
    min_volume_ratio: float
    max_volume_ratio: float
    sparse: bool


def volume_problems(
    report: IngestReport, limits: VolumeLimits, unread: Collection[tuple[str, date]]
) -> tuple[list[Problem], list[Problem]]:
    """Problems and warnings about days: empty ones, and volumes that the blocking check would stop.

    Args:
        report: of the ingest.
        limits: thresholds.
        unread: (table, day) that could not be read: nothing is said of them.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    unread_days = {day for table, day in unread if TABLES[table].kind == "log"}
    empty = [day for day in report.empty_days if day not in unread_days]
    logs = [name for name in report.tables if TABLES[name].kind == "log"]
    if empty and not limits.sparse:
        problems.append(_empty(empty, report, f"logs ({', '.join(logs)})"))
    for name in logs if not limits.sparse else []:
        table, skipped = report.tables[name], {day for t, day in unread if t == name} | set(report.empty_days)
        problems += _off(name, table, limits, skipped)
        bare = [d for d in table.rows_by_day if not _rows(table, d) and d not in skipped]
        judged = set(_measured(table).loc[lambda f: f["volume_ratio"].notna(), "day"])
        bare = [day for day in bare if day not in judged]
        if bare and table.rows_in:
            warnings.append(_empty(bare, report, name))
    return problems, warnings


def _rows(table: TableReport, day: date) -> int:
    return table.rows_by_day[day] + table.quarantined_by_day[day]


def _measured(table: TableReport) -> pd.DataFrame:
    """Volume ratios of what was delivered; bad rows are another problem than few rows."""
    days = list(table.rows_by_day)
    return day_measures(pd.DataFrame({"day": days, "rows": [_rows(table, day) for day in days], "quarantined": 0}))


def _empty(days: list[date], report: IngestReport, where: str) -> Problem:
    first = ", ".join(map(str, days[:3])) + (", ..." if len(days) > 3 else "")
    remedy = "deliver these days again, or set `sparse: true` in the mapping if empty days are legitimate"
    if where.startswith("logs") and (edge := _edge(days, report)):
        remedy = f"{edge}; or {remedy}"
    of = f"{len(days):,} of {len(report.window.days):,} days without a row"
    return Problem(
        f"{of}: {first}" if len(days) > 1 else f"empty day {days[0]}",
        where=where,
        remedy=remedy,
        column="date",
        example=f"date={days[0]}",
    )


def _edge(days: list[date], report: IngestReport) -> str:
    """What to say if all empty days lie before the first event, or after the last one."""
    empty, full = set(days), [day for day in report.window.days if day not in set(days)]
    if full and empty == {day for day in report.window.days if day < full[0]}:
        return f"no event is older than {full[0]}: set first_day to it"
    if full and empty == {day for day in report.window.days if day > full[-1]}:
        return f"no event is newer than {full[-1]}: set last_day to it"
    return ""


def _off(name: str, table: TableReport, limits: VolumeLimits, skipped: set[date]) -> list[Problem]:
    """Days whose volume the blocking check would stop; at most one problem for low ones and one for high ones."""
    frame = _measured(table)
    frame = frame[~frame["day"].isin(skipped) & frame["volume_ratio"].notna()]
    low = frame[frame["volume_ratio"] < limits.min_volume_ratio]
    high = frame[frame["volume_ratio"] > limits.max_volume_ratio]
    found = []
    for days, said, setting in ((low, "fewer", "min_volume_ratio"), (high, "more", "max_volume_ratio")):
        if len(days):
            first = days.iloc[0]
            found.append(
                Problem(
                    f"{len(days):,} {'day' if len(days) == 1 else 'days'} with far {said} rows than the 14 days before",
                    where=f"{name}, date={first['day']}",
                    remedy=f"deliver what is missing or twice; if such days are right, set checks.{setting}"
                    + (", or `sparse: true` in the mapping" if said == "fewer" else ""),
                    column="date",
                    example=f"{int(first['rows']):,} rows, {first['volume_ratio']:.2f} of their median",
                )
            )
    return found
