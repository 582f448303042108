"""Times and values of good rows: hours of the day, order in time, delays, ranges of numbers.

Nothing here stops a run. It shows what a wrong time zone or unit looks like, for the owner of the log to judge.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb
import numpy as np

from ml.sources.contract import TABLES
from ml.sources.problem import Problem

ENOUGH = 500
"""Rows below which a profile over 24 hours says nothing."""
SHIFTED_HOURS = 3
"""Hours by which one log must lie beside another before that is said."""
ALIKE = 0.5
"""Correlation of two profiles, once aligned, above which they are taken for the same people's days."""
EARLIER_SHARE = 0.01
"""Share of clicks before their impression (and the like) above which that is said."""


@dataclass(frozen=True)
class ValueRange:
    """A numeric column of good rows."""

    table: str
    column: str
    known: float
    """Share of rows with a value."""
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class TimeFacts:
    """What the times and numbers of a log look like.

    Attributes:
        hours: events by UTC hour of the day (24 numbers), by log table that has any; none if only days are known.
        ranges: every numeric column with a value.
        late_share: share of conversions known more than `outcome_days` after they happened; None without any.
        warnings: what looks wrong.
    """

    hours: dict[str, list[int]]
    ranges: list[ValueRange]
    late_share: float | None
    warnings: list[Problem] = field(default_factory=list)


def look_at_times(con: duckdb.DuckDBPyConnection, *, outcome_days: int, days_only: bool) -> TimeFacts:
    """Look at the good rows.

    Args:
        con: connection to the lake.
        outcome_days: days after which an outcome counts as known.
        days_only: the source knows days only, so that midnight says nothing.
    """
    hours = {}
    for table in TABLES.values():
        if table.kind == "log" and not days_only:
            found = dict(con.execute(f"SELECT hour(event_time), count(*) FROM {table.name} GROUP BY ALL").fetchall())
            if found:
                hours[table.name] = [found.get(hour, 0) for hour in range(24)]
    late = con.execute(
        "SELECT avg((coalesce(known_at, event_time) >= event_time::DATE + $days + 1)::INTEGER) FROM conversions",
        {"days": outcome_days},
    ).fetchall()[0][0]
    warnings = [*_midnight(con, hours), *_shifted(hours), *_order(con), *_late(late, outcome_days)]
    return TimeFacts(hours, _ranges(con), late, warnings)


def _ranges(con: duckdb.DuckDBPyConnection) -> list[ValueRange]:
    found = []
    for table in TABLES.values():
        for column in table.columns:
            if column.type in ("DOUBLE", "BIGINT"):
                row = con.execute(
                    f"SELECT count({column.name}) / greatest(count(*), 1), min({column.name})::DOUBLE, "
                    f"approx_quantile({column.name}, 0.5)::DOUBLE, max({column.name})::DOUBLE FROM {table.name}"
                ).fetchall()[0]
                if row[0]:
                    found.append(ValueRange(table.name, column.name, *row))
    return found


def _midnight(con: duckdb.DuckDBPyConnection, hours: dict[str, list[int]]) -> list[Problem]:
    """Logs all of whose times are midnight: days were delivered where moments are wanted."""
    found = []
    for name, counts in hours.items():
        if sum(counts) >= 20 and counts[0] == sum(counts):
            other = con.execute(f"SELECT count(*) FROM {name} WHERE event_time <> event_time::DATE").fetchall()[0][0]
            if not other:
                found.append(
                    Problem(
                        "every time is midnight: only the days are known",
                        where=name,
                        remedy="deliver the moment if you have it; within a day, events are ordered by id",
                        column="event_time",
                        example="00:00:00",
                    )
                )
    return found


def _shifted(hours: dict[str, list[int]]) -> list[Problem]:
    """Logs whose day lies hours beside the day of the largest log: one of them is in local time."""
    large = {name: np.array(counts, dtype=float) for name, counts in hours.items() if sum(counts) >= ENOUGH}
    if len(large) < 2:
        return []
    base = max(large, key=lambda name: large[name].sum())
    found = []
    for name, counts in large.items():
        fits = [_alike(large[base], np.roll(counts, -shift)) for shift in range(24)]
        best = int(np.argmax(fits))
        hours_off = best if best <= 12 else best - 24
        if abs(hours_off) >= SHIFTED_HOURS and fits[best] > ALIKE and fits[best] - fits[0] > ALIKE:
            found.append(
                Problem(
                    f"the hours of {name} lie about {abs(hours_off)} h {'after' if hours_off > 0 else 'before'} "
                    f"those of {base}: is one of them in local time?",
                    where=name,
                    remedy="deliver both in UTC, or say the time zone in the mapping",
                    column="event_time",
                    example=f"busiest at {int(counts.argmax()):02d} h, in {base} at {int(large[base].argmax()):02d} h",
                )
            )
    return found


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _order(con: duckdb.DuckDBPyConnection) -> list[Problem]:
    """Clicks and conversions that happen before the impression they name."""
    found = []
    for name in ("clicks", "conversions"):
        key = TABLES[name].key
        n, earlier, example, hours = con.execute(
            f"""SELECT count(*), count(*) FILTER (e.event_time < i.event_time),
                       min({key}) FILTER (e.event_time < i.event_time),
                       median(epoch(i.event_time - e.event_time)) FILTER (e.event_time < i.event_time) / 3600
                FROM {name} e JOIN impressions i USING (impression_id)"""
        ).fetchall()[0]
        if n and earlier / n > EARLIER_SHARE:
            found.append(
                Problem(
                    f"{earlier:,} of {n:,} {name} lie before their impression, by {hours:.1f} h at the median",
                    where=name,
                    remedy="give both tables the same clock: whole hours point to a time zone, seconds to two machines",
                    column="event_time",
                    example=f"{key} {example!r}",
                )
            )
    return found


def _late(share: float | None, outcome_days: int) -> list[Problem]:
    if not share or share < 0.05:
        return []
    return [
        Problem(
            f"{share:.0%} of conversions become known more than {outcome_days} days after they happen",
            where="conversions",
            remedy="they count as not converted: raise timeline.outcome_days until nearly all are known",
            column="known_at",
            example=f"{share:.1%} of them",
        )
    ]
