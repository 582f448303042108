"""The block of a contract table that no files look like: what a person has to say of it, column by column.

A table that must be there stands in the draft with TODOs, one that may be missing as comments.
"""

from __future__ import annotations

from collections.abc import Iterator

from ml.sources.contract import TABLES, Column
from ml.sources.drafting.columns import WAYS_OUT, line, way_out
from ml.sources.log_mapping import REQUIRED
from ml.sources.mapping_errors import TODO


def blank(table: str) -> Iterator[str]:
    """The lines of a table."""
    if table in REQUIRED:
        yield f"# {table}: {TABLES[table].description} No files look like it: complete this with those at the end."
        yield from _block(table)
        return
    yield f"# {table}: {TABLES[table].description} No files look like it, and it may be missing."
    yield "# If you have it, take out the first # of these lines and complete them."
    yield from (f"# {text}" for text in _block(table))


def _block(table: str) -> Iterator[str]:
    yield f"{table}:"
    if table == "advertisers":
        yield line("  derive_from: ads", "the ids that occur there; or `files`, if you have such")
        yield "  columns:"
        yield line(f"    vertical: {TODO}", f"a column there; {WAYS_OUT['vertical']}")
        return
    yield line(f"  files: {TODO}", "their pattern, as at the end of this file")
    if TABLES[table].kind == "register":
        yield line(
            "  filed_by: static", "all are known from the first day on; partition: from the {date} in `files` on"
        )
    yield "  columns:"
    for column in TABLES[table].columns:
        yield _line(table, column)


def _line(table: str, column: Column) -> str:
    if column.name == "updated_at":
        return line(f"    {column.name}: {{filing_day: true}}", "or a column, if every change of a user has a row")
    if column.name == "consent":
        return line("    # consent:", "with `consent: column`: {column: ..., values: {yes: true, no: false}}")
    value = "null" if column.nullable else TODO
    return line(f"    {column.name}: {value}", _how(table, column))


def _how(table: str, column: Column) -> str:
    """How such a column is written."""
    if column.type in ("TIMESTAMP", "DATE"):
        return '{column: ..., unit: ms}, {column: ..., format: "%d.%m.%Y %H:%M:%S"}, or a column of times'
    if column.allowed:
        return f"{{column: ..., values: {{...: {', ...: '.join(column.allowed)}}}}}; {way_out(table, column)}"
    if column.name == TABLES[table].key and TABLES[table].kind == "log":
        return "a column; if none is unique, those that make a row: {hash: [..., ...]}"
    if column.type == "DOUBLE":
        return "a column; {column: ..., scale: 0.01} if these are cents, 0.000001 if micros, 0.001 if milliseconds"
    return f"a column; {way_out(table, column)}" if column.name in WAYS_OUT and not column.nullable else "a column"
