"""Everything that keeps a user's files from being read as their mapping says, found at once.

Looks at every file's columns (of Parquet its footer) and at the first values of each part's first and last file.
Bad rows among good ones are not its business: ingest sets them aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import duckdb

from ml.errors import BadInput
from ml.sources.contract import TABLES
from ml.sources.files import quoted
from ml.sources.log_files import RawFile, RawFiles
from ml.sources.log_mapping import LogMapping
from ml.sources.log_parts import Part, Types, parts_of, resolve
from ml.sources.log_rows import CONSENTED, select
from ml.sources.problem import Problem, shape

SAMPLE_ROWS = 2000
"""Rows of a file whose values are tried."""


def problems_of(raw: RawFiles, mapping: LogMapping) -> list[Problem]:
    """All problems, in the contract's order of tables; each once."""
    found: list[Problem] = []
    with closing(raw.connect()) as con:
        try:
            parts = [part for table in mapping.tables for part in parts_of(mapping, table, raw)]
            found += _of_consent_list(raw, mapping, con)
        except BadInput as error:  # DATA itself is not there: nothing else can be looked at
            return [Problem.of(error)]
        for part in parts:
            found += _of_part(raw, mapping, part, con)
    return list(dict.fromkeys(found))


def _of_part(raw: RawFiles, mapping: LogMapping, part: Part, con: duckdb.DuckDBPyConnection) -> Iterator[Problem]:
    if not part.files:
        yield part.no_files(raw)
        return
    readable: dict[RawFile, Types] = {}
    for file, columns in raw.look(con, part.files, part.block.delimiter):
        if isinstance(columns, BadInput):
            yield Problem.of(columns)
        else:
            readable[file] = columns
    known = frozenset(name for columns in readable.values() for name in columns)
    told: set[tuple[str, str | None]] = set()
    sound = []
    for file, inside in readable.items():
        types = dict.fromkeys(file.keys, "VARCHAR") | inside
        _, problems = resolve(mapping, part, file, types, known=known)
        # The same column lacking in a hundred files is one problem.
        yield from (p for p in problems if (p.what, p.column) not in told)
        told |= {(p.what, p.column) for p in problems}
        if not problems:
            sound.append(file)
    for file in dict.fromkeys(sound[:1] + sound[-1:]):
        try:
            yield from _unreadable_values(raw, mapping, part, file, readable[file], con)
        except BadInput as error:
            yield Problem.of(error)


def _unreadable_values(
    raw: RawFiles, mapping: LogMapping, part: Part, file: RawFile, inside: Types, con: duckdb.DuckDBPyConnection
) -> Iterator[Problem]:
    """Columns of which not one of the first values can be read as mapped."""
    types = dict.fromkeys(file.keys, "VARCHAR") | inside
    readings, _ = resolve(mapping, part, file, types)
    tried = {name: reading for name, reading in readings.items() if reading.raw}
    if not tried:
        return
    with raw.reading([file]):
        relation = f"(SELECT * FROM {raw.sql([file], part.block.delimiter)} LIMIT {SAMPLE_ROWS})"
        rows = select(mapping, part, [file], inside, readings, relation, None)
        con.execute(f"CREATE TEMP TABLE IF NOT EXISTS {CONSENTED} (id VARCHAR)")
        counts = ", ".join(
            f"count({quoted(f'raw.{n}')}), count({quoted(n)}), any_value({quoted(f'raw.{n}')})" for n in tried
        )
        found = con.execute(f"SELECT {counts} FROM ({rows.replace('user_id IN (SELECT id FROM consented)', 'true')})")
        row = found.fetchall()[0]
    for i, (name, reading) in enumerate(tried.items()):
        given, read, example = row[3 * i : 3 * i + 3]
        if given and not read:
            column = part.columns.get(name)
            source = (column.column if column else None) or name
            yield Problem(
                f"none of the first {given} values of column {source!r} can be read as {part.table}.{name}",
                file.url,
                _remedy(part, name, reading.fault, mapping),
                source,
                shape(example),
            )


def _remedy(part: Part, name: str, fault: str, mapping: LogMapping) -> str:
    field = f"{part.origin}.columns.{name}"
    if "value not in" in fault:
        return f"list the values that occur under {field}.values"
    if any(c.name == name and c.type in ("TIMESTAMP", "DATE") for c in TABLES[part.table].columns):
        zone = "" if mapping.time_zone else "; state time_zone, without which times that have no offset are not read"
        return f"give {field} the format, or the unit, that these values have{zone}"
    return f"correct {field}: these are no numbers"


def _of_consent_list(raw: RawFiles, mapping: LogMapping, con: duckdb.DuckDBPyConnection) -> Iterator[Problem]:
    listed = mapping.consent_list
    if listed is None:
        return
    files = raw.find(listed.files)
    if not files:
        where = f"{raw.root}: {', '.join(listed.files)}"
        yield Problem("no such file", where, "correct consent_list.files, or deliver them")
    for file, columns in raw.look(con, files, listed.delimiter):
        if isinstance(columns, BadInput):
            yield Problem.of(columns)
        elif listed.column not in columns:
            what = f"no column {listed.column!r}; the file has {', '.join(columns)}"
            yield Problem(what, file.url, "name the right column in consent_list.column", listed.column)
