"""Ingest: from a source's rows as delivered to the lake, with everything that breaks the contract set aside.

    <lake>/<table>/date=YYYY-MM-DD/part-0.parquet         typed, de-duplicated, sorted; one a day, empty days too
    <quarantine>/<table>/date=YYYY-MM-DD/part-0.parquet   bad rows as text, with `reason` and `_day`; only where any

No row is lost: rows in = rows written + rows in quarantine, and a batch in which that fails is an error. Columns
beyond the contract are ignored; a missing nullable column becomes null. A day that is ingested again replaces its
partitions, quarantine included. Rows are judged by `ml.sources.rules`; whole deliveries by this module, which stops
with one BadInput on a missing table or column, an unreadable file, or an empty day, before it writes anything of
the days it was reading then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import BadInput
from ml.lake import Lake
from ml.progress import Progress, silent
from ml.sources.base import LogSource
from ml.sources.contract import PRIVATE, TABLES
from ml.sources.rules import FAULT, Rules, Verdict
from ml.timeline import Window

if TYPE_CHECKING:
    from upath import UPath

REQUIRED = ("advertisers", "ads", "users", "conversions")
"""Tables without which there is nothing to predict."""
EXAMPLES = 5
"""Bad rows a table that the report shows."""


@runtime_checkable
class HasBacklog(Protocol):
    """A source that files its history from before `backlog_day` under that day."""

    backlog_day: date


@dataclass
class TableReport:
    """What became of one table's rows.

    Attributes:
        rows_in: rows the source delivered.
        rows: rows written to the lake.
        quarantined: rows set aside; the sum of `reasons`.
        reasons: rows by reason (see `ml.sources.rules`).
        rows_by_day, quarantined_by_day: the same by filing day; every day of the window is in both.
        examples: up to 5 rows set aside, of as many different reasons as there are, with `reason` and `_day`;
            without a person's own words (PRIVATE): those stay in the quarantine file.
    """

    rows_in: int = 0
    rows: int = 0
    quarantined: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    rows_by_day: dict[date, int] = field(default_factory=dict)
    quarantined_by_day: dict[date, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class IngestReport:
    """What became of the rows of every table the source has, and which days had none at all in any log."""

    window: Window
    tables: dict[str, TableReport]
    empty_days: list[date] = field(default_factory=list)


def ingest(
    source: LogSource,
    window: Window,
    lake: Lake,
    quarantine: Path | UPath,
    *,
    sparse: bool,
    progress: Progress = silent,
    chunk_days: int = 7,
) -> IngestReport:
    """Write the days of `window` to the lake, every table the source has.

    Args:
        source: where the rows come from.
        window: days to write, within the source's own window.
        lake: keys and references are looked up in its other days too.
        quarantine: root of the bad rows' partitions.
        sparse: a day without a row in any log is legitimate, not an error.
        progress: told the days done.
        chunk_days: days held in memory at a time.

    Raises:
        BadInput: missing table or column, unreadable file, or a day without any event.
    """
    names = _tables_to_read(source, window)
    report = IngestReport(window, {name: TableReport() for name in names})
    backlog_day = source.backlog_day if isinstance(source, HasBacklog) else None
    days = window.days
    with closing(duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(lake.spill)})) as con:
        rules = Rules(lake.attach(con), lake, window, backlog_day)
        aside = Lake(quarantine)
        stale = aside.partitions()
        for start in range(0, len(days), chunk_days):
            chunk = days[start : start + chunk_days]
            batches = {name: _read(source, name, Window(chunk[0], chunk[-1])) for name in names}
            report.empty_days += _empty_days(source, batches, chunk, sparse)
            for name, batch in batches.items():
                verdict = rules.judge(TABLES[name], batch)
                _count(report.tables[name], name, chunk, batch, verdict)
                _write(name, chunk, verdict, lake, aside, stale.get(name, []))
            progress(start + len(chunk), len(days), "days")
    return report


def _tables_to_read(source: LogSource, window: Window) -> list[str]:
    """Names in the contract's order: what is referred to comes before what refers to it."""
    present = source.tables()
    for name in REQUIRED:
        if name not in present:
            raise BadInput(
                f"no table {name!r}; the source has {', '.join(sorted(present)) or 'none'}",
                where=f"source {source.name}",
                remedy=f"deliver {name}: {TABLES[name].description}",
            )
    whole = source.window()
    if window.first > window.last or window.first not in whole or window.last not in whole:
        raise BadInput(
            f"days {window} are not all there; it has {whole}",
            where=f"source {source.name}",
            remedy=f"ask for days within {whole}, or deliver the missing ones",
        )
    return [name for name in TABLES if name in present]


def _read(source: LogSource, name: str, window: Window) -> pa.Table:
    table = TABLES[name]
    batch = source.read(name, window)
    for column in ["_day", *table.required]:
        if column not in batch.column_names:
            raise BadInput(
                f"no column {column!r}; delivered were {', '.join(batch.column_names)}",
                where=f"source {source.name}, table {name}, {window}",
                remedy=f"deliver column {column!r}: the contract requires it",
            )
    return batch.select(["_day", *(c for c in (*table.column_names, FAULT) if c in batch.column_names)])


def _empty_days(source: LogSource, batches: dict[str, pa.Table], chunk: list[date], sparse: bool) -> list[date]:
    logs = [name for name in batches if TABLES[name].kind == "log"]
    filled = {day for name in logs for day in pc.unique(batches[name]["_day"]).to_pylist()}
    empty = [day for day in chunk if day not in filled]
    if empty and not sparse:
        raise BadInput(
            f"empty day {empty[0]}: no row in any of {', '.join(logs)}",
            where=f"source {source.name}, date={empty[0]}",
            remedy="deliver the day again, or set `sparse: true` if days without any event are legitimate",
        )
    return empty


def _write(name: str, chunk: list[date], verdict: Verdict, lake: Lake, quarantine: Lake, stale: list[date]) -> None:
    # The quarantine first: were this run killed in between, a bad row would be reported twice rather than never.
    for day, rows in _by_day(verdict.bad, chunk):
        if rows.num_rows:
            quarantine.write_day(name, day, rows)
        elif day in stale:
            quarantine.remove_day(name, day)
    for day, rows in _by_day(verdict.good, chunk):
        lake.write_day(name, day, rows.drop_columns(["_day"]))


def _by_day(rows: pa.Table, chunk: list[date]) -> Iterator[tuple[date, pa.Table]]:
    """Slices of rows that are ordered by `_day`, one for every day of the chunk."""
    counts = _counts(rows["_day"])
    start = 0
    for day in chunk:
        yield day, rows.slice(start, counts.get(day, 0))
        start += counts.get(day, 0)


def _count(report: TableReport, name: str, chunk: list[date], batch: pa.Table, verdict: Verdict) -> None:
    good, bad = _counts(verdict.good["_day"]), _counts(verdict.bad["_day"])
    written, set_aside = sum(good.get(day, 0) for day in chunk), sum(bad.get(day, 0) for day in chunk)
    if batch.num_rows != written + set_aside:
        raise BadInput(
            f"{batch.num_rows} rows came in, but {written} are good and {set_aside} bad ones of these days",
            where=f"table {name}, days {chunk[0]}..{chunk[-1]}",
            remedy="the source filed rows under days it was not asked for: correct its `read`",
        )
    report.rows_in += batch.num_rows
    report.rows += written
    report.quarantined += set_aside
    report.rows_by_day.update({day: good.get(day, 0) for day in chunk})
    report.quarantined_by_day.update({day: bad.get(day, 0) for day in chunk})
    candidates = report.examples
    shown = verdict.bad.select([column for column in verdict.bad.column_names if column not in PRIVATE])
    for reason, n in sorted(_counts(verdict.bad["reason"]).items()):
        report.reasons[reason] = report.reasons.get(reason, 0) + n
        candidates = candidates + shown.filter(pc.equal(shown["reason"], reason))[:EXAMPLES].to_pylist()
    report.examples = _varied(candidates)


def _varied(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first EXAMPLES rows if the first of every reason go before the second of any."""
    seen: Counter[str] = Counter()
    ranked = []
    for row in rows:
        ranked.append((seen[row["reason"]], row))
        seen[row["reason"]] += 1
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0])[:EXAMPLES]]


def _counts(values: pa.ChunkedArray) -> dict[Any, int]:
    return {pair["values"]: pair["counts"] for pair in pc.value_counts(values).to_pylist()}
