"""Parts of a contract table: a block of the mapping with the files it names, and how each column is read from them.

A contract column that the mapping does not list is taken from the files' column of the same name. What stands in
the way (a column that is not there, a time whose unit or zone nobody stated) is a Problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from ml.sources.contract import TABLES, Column
from ml.sources.log_columns import Reading, absent, needs_unit, needs_zone, reading
from ml.sources.log_files import RawFile, RawFiles
from ml.sources.log_mapping import ColumnMapping, LogMapping, TableMapping
from ml.sources.problem import Problem

Types = dict[str, str]
FILING_DAY = "filing day"
"""Value of a Reading that is the day a row is filed under."""


@dataclass(frozen=True)
class Part:
    """A block of the mapping and the files it names.

    Attributes:
        table: contract table that the rows are for.
        origin: table whose files they are: another one for a derived register.
        block: the block that names the files.
        columns: how each column of `table` is mapped; None where the files' column of the same name counts.
        files: what the patterns match.
    """

    table: str
    origin: str
    block: TableMapping
    columns: dict[str, ColumnMapping | None]
    files: list[RawFile]

    @property
    def derived(self) -> bool:
        return self.table != self.origin

    def no_files(self, raw: RawFiles) -> Problem:
        """What to say when the patterns match nothing."""
        there = sorted({name.split("/")[0] for name in raw.names()})
        found = f"; there are {', '.join(there[:12])}{', ...' if len(there) > 12 else ''}" if there else "; it is empty"
        where = f"{raw.root}/{' or '.join(self.block.files or [])}"
        remedy = f"correct {self.origin}.files in the mapping, or set DATA to the directory they are relative to"
        return Problem(f"no such file for table {self.origin}{found}", where, remedy)


def parts_of(mapping: LogMapping, table: str, raw: RawFiles) -> list[Part]:
    """The parts of a contract table, with those it is derived from in their place."""
    found = []
    for block in mapping.parts(table):
        if block.files:
            found.append(Part(table, table, block, dict(block.columns), raw.find(block.files)))
        for origin in block.derive_from or []:
            for source in mapping.parts(origin):
                if source.files:
                    columns = {name: source.columns[name] for name in source.columns if name in _names(table)}
                    columns |= block.columns
                    found.append(Part(table, origin, source, columns, raw.find(source.files)))
    return found


def _names(table: str) -> list[str]:
    return TABLES[table].column_names


def resolve(
    mapping: LogMapping, part: Part, file: RawFile, types: Types, *, known: frozenset[str] = frozenset()
) -> tuple[dict[str, Reading], list[Problem]]:
    """How each contract column is read from files like this one, and what stands in the way.

    Args:
        types: the file's columns.
        known: columns that other files of the part have: one that only this file lacks is null, if it may be.
    """
    readings: dict[str, Reading] = {}
    problems: list[Problem] = []
    for column in TABLES[part.table].columns:
        given = _given(mapping, part, column, types)
        if given is None:
            readings[column.name] = absent(column)
            if not column.nullable:
                problems.append(_lacking(mapping, part, column, file, types, column.name))
        elif given.filing_day:
            readings[column.name] = Reading(FILING_DAY, column.type)
        elif lacking := [name for name in given.sources if name not in types]:
            readings[column.name] = absent(column)
            if not (column.nullable and set(lacking) <= known):
                problems += [_lacking(mapping, part, column, file, types, name) for name in lacking]
        elif (problem := _unsaid(mapping, part, column, given, file, types)) is not None:
            readings[column.name] = absent(column)
            problems.append(problem)
        else:
            readings[column.name] = reading(column, given, types, mapping.time_zone)
    problems += [_no_filter(part, name, file, types) for name in part.block.only if name not in types]
    if part.block.filed_by in _names(part.origin) and filing_column(mapping, part, types) is None:
        problems.append(_lacks_filing_day(part, file, types))
    return readings, problems


def filing_column(mapping: LogMapping, part: Part, types: Types) -> ColumnMapping | None:
    """Mapping of the time that decides the day a row is filed under, if there is one in these files."""
    origin = Part(part.origin, part.origin, part.block, dict(part.block.columns), part.files)
    if TABLES[part.origin].kind == "log":
        name = "event_time"
    elif part.block.filed_by not in (None, "partition", "static"):
        name = str(part.block.filed_by)
    else:
        name = "updated_at"  # a snapshot of a local day reaches into the next UTC day
    column = next((column for column in TABLES[part.origin].columns if column.name == name), None)
    given = _given(mapping, origin, column, types) if column else None
    usable = given is not None and not given.filing_day and set(given.sources) <= set(types)
    return given if usable else None


def _given(mapping: LogMapping, part: Part, column: Column, types: Types) -> ColumnMapping | None:
    """The mapping of a column, with what follows for one that is not listed."""
    if part.table == "users" and column.name == "consent" and mapping.consent != "column":
        return ColumnMapping(constant=True)  # a list narrows it: see `select`
    if column.name in part.columns:
        return part.columns[column.name]
    if part.derived:
        if column.name == "updated_at":
            return ColumnMapping(filing_day=True)
        if column.name == "active_from":
            return ColumnMapping(constant=mapping.first_day.isoformat())
        if column.name == "name":
            return _given(mapping, part, TABLES[part.table].columns[0], types)
    if column.name in types and not (part.derived and column.nullable):
        return ColumnMapping(column=column.name)
    return None


def _unsaid(
    mapping: LogMapping, part: Part, column: Column, given: ColumnMapping, file: RawFile, types: Types
) -> Problem | None:
    """A time whose type does not say what it means."""
    kind = types.get(given.column or "", "")
    if column.type not in ("TIMESTAMP", "DATE") or given.column is None or given.values is not None:
        return None
    where = f"{file.url}, column {given.column!r} ({kind})"
    field = f"{part.origin}.columns.{column.name}"
    if needs_unit(kind) and not given.unit and not given.format:
        said = f"{field}: {{column: {given.column}, unit: s|ms|us|ns}}"
        return Problem("a time that is a number, without its unit", where, f"state it: {said}", given.column)
    if given.unit and not (needs_unit(kind) or kind == "VARCHAR"):
        return Problem(f"`unit` for a time that is no number but {kind}", where, f"remove {field}.unit", given.column)
    if column.type == "TIMESTAMP" and needs_zone(kind) and not (given.time_zone or mapping.time_zone):
        said = "`time_zone: UTC`, or the IANA zone whose clock wrote them, at the top of the mapping"
        return Problem("times without an offset, and no time zone is stated", where, f"state {said}", given.column)
    return None


def _lacking(mapping: LogMapping, part: Part, column: Column, file: RawFile, types: Types, name: str) -> Problem:
    what = f"no column {name!r} for {part.table}.{column.name}; the file has {', '.join(types)}"
    field = f"{part.table if part.derived else part.origin}.columns.{column.name}"
    near = get_close_matches(name, types, n=1)
    remedy = f"set {field} to one of these{f' ({near[0]}?)' if near else ''}, or deliver {name!r}"
    together = [
        b for b in mapping.parts(part.table) if part.origin in (b.derive_from or []) and len(b.derive_from or []) > 1
    ]
    if part.derived and together:
        remedy = (
            f"{part.table} is derived from {part.origin} as well: leave {part.origin} out of {part.table}.derive_from, "
            f"or set {field} to a column or constant that fits all"
        )
    return Problem(what, file.url, remedy, column.name)


def _no_filter(part: Part, name: str, file: RawFile, types: Types) -> Problem:
    what = f"no column {name!r} for {part.origin}.only; the file has {', '.join(types)}"
    return Problem(what, file.url, f"name the right column in {part.origin}.only, or deliver {name!r}", name)


def _lacks_filing_day(part: Part, file: RawFile, types: Types) -> Problem:
    what = (
        f"no column for {part.origin}.{part.block.filed_by}, by which rows are filed; the file has {', '.join(types)}"
    )
    return Problem(what, file.url, f"map {part.block.filed_by}, or choose another `filed_by`", part.block.filed_by)
