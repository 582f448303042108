"""Tries the first values of a file as its mapping reads them: which columns no value of can be read, and why not.

Also times that can be read but lie centuries off, as those of a wrong unit do: being outside first_day..last_day they
would not be missed. It says what would fit, where the values show it. It does not know which files there are.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from ml.sources.contract import TABLES
from ml.sources.files import literal, quoted
from ml.sources.log_columns import Reading
from ml.sources.log_files import RawFile, RawFiles
from ml.sources.log_mapping import LogMapping
from ml.sources.log_parts import Part, Types, resolve
from ml.sources.log_rows import CONSENTED, select
from ml.sources.problem import Problem, shape

SAMPLE_ROWS = 2000
"""Rows of a file whose values are tried."""
YEARS = (2000, 2100)
"""Times of logs lie between these."""
EPOCH = {"s": (1e9, 2.3e9), "ms": (1e12, 2.3e12), "us": (1e15, 2.3e15), "ns": (1e18, 2.3e18)}
"""Numbers that are times between 2001 and 2042 in a unit."""
FORMATS = (
    "%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%Y/%m/%d %H:%M:%S", "%Y%m%d%H%M%S",
    "%d-%b-%Y %H:%M:%S", "%a %b %d %H:%M:%S %Y", "%d/%b/%Y:%H:%M:%S %z", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d",
)  # fmt: skip
"""Formats of times as text that are tried on values of which none is said."""


def value_problems(
    raw: RawFiles, mapping: LogMapping, part: Part, file: RawFile, inside: Types, con: duckdb.DuckDBPyConnection
) -> Iterator[Problem]:
    """Columns of which not one of the first values can be read as mapped, or is a time that could be meant.

    Args:
        inside: the columns of the file.
    """
    types = dict.fromkeys(file.keys, "VARCHAR") | inside
    readings, _ = resolve(mapping, part, file, types)
    tried = {name: reading for name, reading in readings.items() if reading.raw}
    if not tried:
        return
    with raw.reading([file]):
        relation = f"(SELECT * FROM {raw.sql([file], part.block.delimiter)} LIMIT {SAMPLE_ROWS})"
        rows = select(mapping, part, [file], inside, readings, relation, None)
        con.execute(f"CREATE TEMP TABLE IF NOT EXISTS {CONSENTED} (id VARCHAR)")
        con.execute(f"CREATE OR REPLACE TEMP TABLE tried AS {rows}")
    for name, reading in tried.items():
        problem = _problem(mapping, part, file, name, reading, con)
        if problem is not None:
            yield problem


def _problem(
    mapping: LogMapping, part: Part, file: RawFile, name: str, reading: Reading, con: duckdb.DuckDBPyConnection
) -> Problem | None:
    given, read, example = con.execute(
        f"SELECT count({_raw(name)}), count({quoted(name)}), min({_raw(name)}) FROM tried"
    ).fetchall()[0]
    if not given:
        return None
    column = part.columns.get(name)
    source = (column.column if column else None) or name
    first = f"the first {given:,} values" if given > 1 else "the one value"
    if not read:
        what = f"none of {first} of column {source!r} can be read as {part.table}.{name}"
        return Problem(what, file.url, _remedy(mapping, part, name, reading, con), source, shape(example))
    if reading.type == "TIMESTAMP" and column is not None and column.unit:
        low, high = con.execute(f"SELECT year(min({quoted(name)})), year(max({quoted(name)})) FROM tried").fetchall()[0]
        if low > YEARS[1] or high < YEARS[0]:
            years = f"year {low}" if low == high else f"years {low} to {high}"
            what = f"with unit {column.unit} {first} of column {source!r} lie in the {years}"
            unit = _unit(name, con)
            remedy = f"give {_field(part, name)} the unit that these numbers have{f': unit: {unit}' if unit else ''}"
            return Problem(what, file.url, remedy, source, shape(example))
    return None


def _remedy(mapping: LogMapping, part: Part, name: str, reading: Reading, con: duckdb.DuckDBPyConnection) -> str:
    field = _field(part, name)
    if "value not in" in reading.fault:
        return f"list the values that occur under {field}.values"
    if not any(c.name == name and c.type in ("TIMESTAMP", "DATE") for c in TABLES[part.table].columns):
        return f"correct {field}: these are no numbers"
    unit, formats = _unit(name, con), _formats(name, con)
    zone = "" if mapping.time_zone else "; state time_zone, without which times that have no offset are not read"
    if unit:
        return f"give {field} the unit that these numbers have: unit: {unit}"
    if formats:
        return f"give {field} the format that these values have: format: {' or '.join(formats)}{zone}"
    return f"give {field} the format, or the unit, that these values have{zone}"


def _unit(name: str, con: duckdb.DuckDBPyConnection) -> str | None:
    """The unit in which all values are times of our days."""
    number = f"TRY_CAST({_raw(name)} AS DOUBLE)"
    n, found, low, high = con.execute(
        f"SELECT count({_raw(name)}), count({number}), min({number}), max({number}) FROM tried"
    ).fetchall()[0]
    return next((u for u, (least, most) in EPOCH.items() if n == found and least <= low and high <= most), None)


def _formats(name: str, con: duckdb.DuckDBPyConnection) -> list[str]:
    """Formats that all values have, as YAML."""
    counts = ", ".join(f"count(try_strptime({_raw(name)}, {literal(form)}))" for form in FORMATS)
    n, *found = con.execute(f"SELECT count({_raw(name)}), {counts} FROM tried").fetchall()[0]
    return [f'"{form}"' for form, fits in zip(FORMATS, found, strict=True) if fits == n]


def _raw(name: str) -> str:
    return quoted(f"raw.{name}")


def _field(part: Part, name: str) -> str:
    return f"{part.origin}.columns.{name}"
