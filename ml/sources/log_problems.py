"""Everything that keeps a user's files from being read as their mapping says, found at once.

Looks at every file's columns (of Parquet its footer) and at the first values of each part's first and last file.
Bad rows among good ones are not its business: ingest sets them aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import duckdb

from ml.errors import BadInput
from ml.sources.log_files import RawFile, RawFiles
from ml.sources.log_mapping import LogMapping
from ml.sources.log_parts import Part, Types, parts_of, resolve
from ml.sources.log_values import value_problems
from ml.sources.problem import Problem

SEPARATORS = (",", ";", "\t", "|")
"""What separates the values of CSV files."""


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
    told: set[tuple[str, str | None]] = set()
    for file, columns in raw.look(con, part.files, part.block.delimiter):
        if isinstance(columns, BadInput):
            yield Problem.of(columns)
        elif (problem := _other_separator(part, file, columns)) is not None:
            # As with a column below, once for all files.
            yield from [problem] * ((problem.what, None) not in told)
            told.add((problem.what, None))
        else:
            readable[file] = columns
    known = frozenset(name for columns in readable.values() for name in columns)
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
            found = list(value_problems(raw, mapping, part, file, readable[file], con))
        except BadInput as error:
            found = [Problem.of(error)]
        yield from (p for p in found if (p.remedy, p.column) not in told)
        told |= {(p.remedy, p.column) for p in found}


def _other_separator(part: Part, file: RawFile, columns: Types) -> Problem | None:
    """A CSV file all of whose columns came as one, since another character separates them."""
    if file.kind == ".parquet" or len(columns) != 1:
        return None
    used = "\t" if file.kind.startswith(".tsv") else part.block.delimiter
    name = next(iter(columns))
    found = max((s for s in SEPARATORS if s != used), key=name.count)
    if not name.count(found):
        return None
    said = r"\t" if found == "\t" else found
    what = f"separated by {found!r}, not by {used!r}"
    return Problem(what, file.url, f'give {part.origin} its separator: delimiter: "{said}"')


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
