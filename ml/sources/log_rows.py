"""SQL of the rows of one part of a contract table, from files that have the same columns.

    SELECT "event_time", "raw.event_time", ..., _filed, _day

`"raw.x"` is the value as it came, where it may fail to be read as x. `_day` is the day a row is filed under:

* an event: its own UTC day. In a file of a day to which that cannot belong (a wrong clock, an unreadable time) the
  file's day, and without such a day the first: ingest sets it aside there;
* a register row: as `filed_by` says, but never before the first day; `_filed` is the day before that rule;
* a derived row: as the row it is derived from.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ml.sources.contract import TABLES, Column
from ml.sources.files import literal, quoted
from ml.sources.log_columns import Reading, as_text, reading, time_filter
from ml.sources.log_files import FILE, RawFile, covered
from ml.sources.log_mapping import LogMapping, TableMapping
from ml.sources.log_parts import FILING_DAY, Part, Types, filing_column
from ml.timeline import Window

CONSENTED = "consented"
"""Table with the ids of the consent list, in the column `id`."""


def days_of(mapping: LogMapping, block: TableMapping) -> str:
    """The zone whose days the {date} of the files means."""
    return block.day_zone or mapping.time_zone or "UTC"


def needed(mapping: LogMapping, part: Part, window: Window) -> list[RawFile]:
    """The files that may hold rows filed under the days of `window`."""
    if not part.block.has_day:
        return part.files
    is_log, late = TABLES[part.origin].kind == "log", timedelta(days=part.block.late_days)
    found = []
    for file in part.files:
        assert file.day is not None
        first, last = covered(file.day, days_of(mapping, part.block))
        first, last = min(first - late, file.day), max(last, file.day)
        carried = not is_log and window.first <= mapping.first_day and file.day < window.first
        if carried or (first <= window.last and last >= window.first):
            found.append(file)
    return found


def select(
    mapping: LogMapping,
    part: Part,
    files: Sequence[RawFile],
    inside: Types,
    readings: dict[str, Reading],
    relation: str,
    window: Window | None,
) -> str:
    """SQL of all rows of the files.

    Args:
        inside: columns inside the files; those of their paths come on top.
        readings: see `ml.sources.log_parts.resolve`.
        relation: SQL that reads the files.
        window: if given, rows filed under other days may be left out where that is cheap.
    """
    types: Types = dict.fromkeys(files[0].keys, "VARCHAR") | inside
    values = ", ".join(
        f"{'NULL' if r.value == FILING_DAY else r.value} AS {quoted(name)}"
        + (f", {r.raw} AS {quoted(f'raw.{name}')}" if r.raw else "")
        for name, r in readings.items()
    )
    only = [f"{as_text(f'src.{quoted(c)}', types[c])} IN ({_listed(v)})" for c, v in part.block.only.items()]
    moment = filing_column(mapping, part, types)
    a_time = Column("moment", "TIMESTAMP")
    when = f"{reading(a_time, moment, types, mapping.time_zone).value}::TIMESTAMP" if moment else "NULL::TIMESTAMP"
    rows = f"""SELECT {values}, {when} AS "k.moment", "k.day", "k.first", "k.last"
        FROM ({_source(mapping, part, files, inside, relation, window)}) src WHERE {" AND ".join(only) or "true"}"""
    columns = [
        f"_day::{r.type} AS {quoted(name)}" if r.value == FILING_DAY else quoted(name) for name, r in readings.items()
    ]
    if part.table == "users" and mapping.consent == "list":
        place = TABLES["users"].column_names.index("consent")
        columns[place] = f"coalesce(user_id IN (SELECT id FROM {CONSENTED}), false) AS consent"
    columns += [quoted(f"raw.{name}") for name, r in readings.items() if r.raw]
    is_log = TABLES[part.origin].kind == "log"
    day = "_filed" if is_log else f"greatest(_filed, {_date(mapping.first_day)})"
    return f"""SELECT {", ".join(columns)}, _filed, _day FROM (
        SELECT *, {day} AS _day FROM (SELECT *, {_filed(mapping, part)} AS _filed FROM ({rows})))"""


def _source(
    mapping: LogMapping, part: Part, files: Sequence[RawFile], inside: Types, relation: str, window: Window | None
) -> str:
    """Rows of the files with the columns of their paths, and the days that each file covers."""
    keys = [key for key in files[0].keys if key not in inside]
    rows = []
    for file in files:
        first, last = covered(file.day, days_of(mapping, part.block)) if file.day else (None, None)
        facts = [literal(file.url), _date(file.day), _date(first), _date(last)]
        rows.append(f"({', '.join([*facts, *(literal(file.keys[key]) for key in keys)])})")
    names = ", ".join(['"k.url"', '"k.day"', '"k.first"', '"k.last"', *map(quoted, keys)])
    return f"""SELECT * FROM (SELECT * FROM {relation} WHERE {_narrow(mapping, part, inside, window)}) s
        JOIN (VALUES {", ".join(rows)}) k({names}) ON s.{FILE} = k."k.url" """


def _narrow(mapping: LogMapping, part: Part, inside: Types, window: Window | None) -> str:
    """What lets Parquet's statistics skip row groups; not on the first day, where unreadable times are filed."""
    given = filing_column(mapping, part, inside)
    is_flat_log = TABLES[part.origin].kind == "log" and not part.block.has_day
    if window is None or given is None or not is_flat_log or window.first <= mapping.first_day:
        return "true"
    return time_filter(given, inside, str(window.first), str(window.last + timedelta(days=1))) or "true"


def _filed(mapping: LogMapping, part: Part) -> str:
    first, moment = _date(mapping.first_day), '"k.moment"::DATE'
    if TABLES[part.origin].kind == "log":
        if not part.block.has_day:
            return f"coalesce({moment}, {first})"
        fits = f'{moment} BETWEEN "k.first" - {part.block.late_days} AND "k.last"'
        return f'CASE WHEN {fits} THEN {moment} ELSE "k.day" END'
    if part.block.filed_by == "static":
        return first
    if part.block.filed_by in (None, "partition"):
        return f'CASE WHEN {moment} > "k.day" AND {moment} <= "k.last" THEN {moment} ELSE "k.day" END'
    return f"coalesce({moment}, {first})"


def _date(day: object) -> str:
    return f"DATE '{day}'" if day else "NULL::DATE"


def _listed(values: Sequence[object]) -> str:
    return ", ".join(literal(str(v).lower() if isinstance(v, bool) else str(v)) for v in values)
