"""SQL of one contract column out of a user's own columns, as its mapping says.

A `Reading` has the typed value and, where a value can fail to be read, the value as it came and the reason: a
row with such a value is delivered as it came, with the reason, for ingest to quarantine. Times become naive UTC:

* a TIMESTAMP WITH TIME ZONE, a text with an offset, a number of seconds since 1970: that moment;
* anything without an offset: that time in the mapped zone. An hour that the clock skips there is an error; in one
  that comes twice (autumn) the second is meant;
* a DATE column of the contract takes the day as written, without any zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ml.sources.contract import Column
from ml.sources.files import literal, quoted
from ml.sources.log_mapping import ColumnMapping

MICROSECONDS = {"s": "* 1000000", "ms": "* 1000", "us": "", "ns": "// 1000"}
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
FLOATS = ("FLOAT", "DOUBLE")
_OFFSET = r"\d:\d{2}(:\d{2}(\.\d+)?)? ?([zZ]|[+-]\d{2}(:?\d{2})?|[A-Za-z][A-Za-z/_]+)$"


@dataclass(frozen=True)
class Reading:
    """One contract column.

    Attributes:
        value: SQL of the value, null where it cannot be read.
        type: its DuckDB type.
        raw: SQL of the value as it came, as text; None where every value can be read.
        fault: why a row is set aside whose value is null and whose raw is not.
    """

    value: str
    type: str
    raw: str | None = None
    fault: str = ""


def reading(column: Column, given: ColumnMapping, types: dict[str, str], zone: str | None) -> Reading:
    """How a column is read from files with these columns; `given` names only such as they have.

    Args:
        column: of the contract.
        given: its mapping; one with `filing_day` is not for this function.
        types: DuckDB type of each of the files' columns.
        zone: of times without an offset; None if the mapping states none (then there is none to be read).
    """
    if given.constant is not None:
        return Reading(f"{_literal(given.constant)}::{column.type}", column.type)
    if given.hash:
        return Reading(_hash(given.hash), "VARCHAR")
    source, kind = f"src.{quoted(given.column or '')}", types[given.column or ""]
    if given.values is not None:
        return _looked_up(column, given.values, as_text(source, kind))
    if column.type == "TIMESTAMP":
        return _time(column, given, source, kind, given.time_zone or zone)
    if column.type == "DATE":
        return _day(column, given, source, kind)
    if given.scale is not None:
        return _scaled(column, given.scale, source, kind)
    if column.type == "VARCHAR":
        return Reading(as_text(source, kind), "VARCHAR")
    return Reading(source, kind)


def absent(column: Column) -> Reading:
    """A column that is not there."""
    return Reading(f"NULL::{column.type}", column.type)


def as_text(source: str, kind: str) -> str:
    """An id or a name as text: 12.0, as some exporters write a whole number, is 12."""
    if kind in FLOATS:
        whole = f"{source} = trunc({source}) AND abs({source}) < 1e15"
        return f"CASE WHEN {whole} THEN {source}::BIGINT::VARCHAR ELSE {source}::VARCHAR END"
    return f"{source}::VARCHAR"


def needs_unit(kind: str) -> bool:
    """Is a time of this type a number, of which nobody can tell the unit?"""
    return kind in INTEGERS or kind in FLOATS or kind.startswith("DECIMAL")


def needs_zone(kind: str) -> bool:
    """Is a time of this type one without an offset?"""
    return (kind.startswith("TIMESTAMP") and "TIME ZONE" not in kind) or kind == "DATE"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return literal(value) if isinstance(value, str) else repr(value)


def _hash(columns: list[str]) -> str:
    """Of values with their lengths, so that ('a', 'bc') and ('ab', 'c') differ; null is not ''."""
    texts = [f"src.{quoted(name)}::VARCHAR" for name in columns]
    parts = [f"coalesce(length({text}) || ':' || {text}, '-')" for text in texts]
    return f"left(md5({' || '.join(parts)}), 20)"


def _looked_up(column: Column, values: dict[Any, Any], text: str) -> Reading:
    keys = {key: str(_text_of(key)) for key in values if key is not None}
    null = _text_of(values.get(None))
    whens = " ".join(f"WHEN {literal(keys[k])} THEN {_sql(_text_of(v))}" for k, v in values.items() if k is not None)
    value = f"CASE {text} {whens} END" if whens else "NULL::VARCHAR"
    if None in values:
        value = f"CASE WHEN {text} IS NULL THEN {_sql(null)} ELSE {value} END"
    kept_null = [keys[k] for k, v in values.items() if v is None and k is not None]
    # A value that is mapped to null was read; only one that is not listed is a fault.
    listed = ", ".join(literal(key) for key in kept_null)
    raw = f"CASE WHEN {text} NOT IN ({listed}) THEN {text} END" if kept_null else text
    return Reading(value, "VARCHAR", raw, f"{column.name}: value not in the mapping")


def _text_of(value: Any) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _sql(text: str | None) -> str:
    return "NULL" if text is None else literal(text)


def _scaled(column: Column, scale: float, source: str, kind: str) -> Reading:
    # 1999 cents are 19.99: by 100 the quotient is the nearest number there is, times 0.01 it is not.
    whole = round(1 / scale)
    factor = f"/ {whole}.0" if whole and abs(1 / scale - whole) < 1e-9 * whole else f"* {scale!r}"
    value = f"TRY_CAST({source} AS DOUBLE) {factor}"
    return Reading(value, "DOUBLE", f"{source}::VARCHAR", f"{column.name}: not as the mapping says")


def _time(column: Column, given: ColumnMapping, source: str, kind: str, zone: str | None) -> Reading:
    raw = f"{source}::VARCHAR"
    if given.unit:
        number = f"TRY_CAST({source} AS DECIMAL(38, 6))" if given.unit != "ns" else f"TRY_CAST({source} AS HUGEINT)"
        value = f"TRY(make_timestamp(({number} {MICROSECONDS[given.unit]})::BIGINT))"
    elif given.format and "%z" in given.format:
        value = f"try_strptime({raw}, {literal(given.format)}) AT TIME ZONE 'UTC'"
    elif given.format:
        value = _in_zone(f"try_strptime({raw}, {literal(given.format)})", zone)
    elif "TIME ZONE" in kind:
        value = f"{source} AT TIME ZONE 'UTC'"
    elif needs_zone(kind):
        value = _in_zone(f"{source}::TIMESTAMP", zone)
    else:
        offset = f"regexp_matches({raw}, {literal(_OFFSET)})"
        moment, naive = f"TRY_CAST({raw} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'", f"TRY_CAST({raw} AS TIMESTAMP)"
        value = f"CASE WHEN {offset} THEN {moment} ELSE {_in_zone(naive, zone)} END"
    finite = f"CASE WHEN isfinite({value}) THEN {value} END"
    return Reading(finite, "TIMESTAMP", raw, f"{column.name}: not as the mapping says")


def _in_zone(naive: str, zone: str | None) -> str:
    """UTC of a local time; null for one that the clock skips, and for all if the zone was not stated."""
    if zone is None:
        return "NULL::TIMESTAMP"
    if zone == "UTC":
        return naive
    name = literal(zone)
    moment = f"({naive} AT TIME ZONE {name})"
    return f"CASE WHEN {moment} AT TIME ZONE {name} = {naive} THEN {moment} AT TIME ZONE 'UTC' END"


def _day(column: Column, given: ColumnMapping, source: str, kind: str) -> Reading:
    raw = f"{source}::VARCHAR"
    if given.unit:
        value = f"{_time(column, given, source, kind, 'UTC').value}::DATE"
    elif given.format:
        value = f"try_strptime({raw}, {literal(given.format)})::DATE"
    elif kind == "VARCHAR":
        value = f"TRY_CAST(TRY_CAST({raw} AS TIMESTAMP) AS DATE)"
    else:
        value = f"TRY_CAST({source} AS DATE)"
    return Reading(
        f"CASE WHEN isfinite({value}) THEN {value} END", "DATE", raw, f"{column.name}: not as the mapping says"
    )


def time_filter(given: ColumnMapping, types: dict[str, str], low: str, high: str) -> str | None:
    """SQL that is true for every readable time in [low, high), and cheap: Parquet's statistics answer it.

    None where only reading each value can tell. `low` and `high` are UTC timestamps; a day of slack either side
    covers every zone.
    """
    if given.column is None or given.values is not None:
        return None
    source, kind = quoted(given.column), types[given.column]
    start, end = f"(TIMESTAMP '{low}' - INTERVAL 1 DAY)", f"(TIMESTAMP '{high}' + INTERVAL 1 DAY)"
    if given.unit and kind in INTEGERS:
        divide = {"s": "epoch({})::BIGINT", "ms": "epoch_ms({})", "us": "epoch_us({})", "ns": "epoch_ns({})"}
        return f"{source} >= {divide[given.unit].format(start)} AND {source} < {divide[given.unit].format(end)}"
    if given.unit or given.format:
        return None
    if "TIME ZONE" in kind:
        return f"{source} >= {start}::TIMESTAMPTZ AND {source} < {end}::TIMESTAMPTZ"
    return f"{source} >= {start} AND {source} < {end}" if needs_zone(kind) else None
