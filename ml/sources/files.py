"""Raw files: found, readable, with the columns they should have, and their fingerprint.

Reads single Parquet and CSV files. Every failure is one BadInput naming the file and what to do; what the
values mean is the caller's business.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO, cast

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import BadInput
from ml.sources.problem import Problem

WHOLE_FILE_BYTES = 16 * 2**20
"""Files up to this size are fingerprinted whole, larger Parquet files by size and footer (which holds the
offsets, sizes and statistics of every column chunk)."""


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | Path) -> str:
    """`text` as an SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def unreadable(path: Path | str, error: Exception) -> BadInput:
    # Not the line of a CSV file that DuckDB quotes: it may hold a person's data. Nor its hints: they are about DuckDB.
    lines = str(error).partition("Possible")[0].splitlines()
    problem = "; ".join(line.strip() for line in lines if line.strip() and not line.startswith("Original Line"))
    return BadInput(
        f"unreadable file: {problem[:200] or type(error).__name__}",
        where=str(path),
        remedy="deliver the file again, whole; nothing of it was read",
    )


def read_parquet(file: BinaryIO, columns: list[str]) -> pa.Table:
    """The given columns of one open Parquet file, in file order; dictionaries are decoded."""
    # ParquetFile and not read_table: the latter would take `date=...` in the path for a column.
    table = pq.ParquetFile(file).read(columns=columns)
    for i, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(i, column.name, table.column(i).cast(column.type.value_type))
    return table


def parquet_columns(file: BinaryIO) -> list[str]:
    """Column names of one open Parquet file."""
    names: list[str] = pq.read_schema(file).names
    return names


def load(con: duckdb.DuckDBPyConnection, path: Path, *, into: str, columns: Iterable[str]) -> None:
    """Create table `into` from the given columns of a Parquet or CSV file; all CSV values are text.

    Raises:
        BadInput: no such file, a column it lacks, or a file that cannot be read.
    """
    source, present = _opened(con, path)
    try:
        for column in columns:
            if column not in present:
                raise _no_column(path, column, present).error()
        con.execute(f"CREATE TABLE {into} AS SELECT {', '.join(map(quoted, dict.fromkeys(columns)))} FROM {source}")
    except duckdb.Error as error:
        raise unreadable(path, error) from error


def file_problems(path: Path, columns: Iterable[str]) -> list[Problem]:
    """Why `load` would stop at this file: it is missing or unreadable, or every column it lacks."""
    try:
        with closing(duckdb.connect()) as con:
            _, present = _opened(con, path)
    except BadInput as error:
        return [Problem.of(error, example=path.name)]
    return [_no_column(path, column, present) for column in dict.fromkeys(columns) if column not in present]


def _opened(con: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, list[str]]:
    """SQL that reads a file, and the names of its columns."""
    if not path.is_file():
        raise BadInput(
            "no such file",
            where=str(path),
            remedy="correct the `file` in the mapping, or set DATA to the directory that holds it",
        )
    source = f"read_parquet({literal(path)})" if path.suffix == ".parquet" else _csv(path)
    try:
        return source, [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
    except duckdb.Error as error:
        raise unreadable(path, error) from error


def _no_column(path: Path, column: str, present: list[str]) -> Problem:
    nearest = get_close_matches(column, present, n=1)
    return Problem(
        f"no column {column!r}; the file has {', '.join(present)}",
        where=str(path),
        remedy=f"name the right column in the mapping, or deliver {column!r}",
        column=column,
        example=f"the file has {nearest[0]!r}" if nearest else f"none of its {len(present)} columns is named like it",
    )


def _csv(path: Path) -> str:
    try:
        with path.open("rb") as raw:
            return csv_source(raw, str(path), literal(path))
    except OSError as error:
        raise unreadable(path, error) from error


def csv_source(raw: BinaryIO, where: str, urls: str, delimiter: str = ",", more: str = "") -> str:
    """SQL that reads CSV files with the header of `raw`, one of them.

    Nothing is left to be sniffed: a short file must not read unlike a long one. All values are text.

    Args:
        raw: an open file, packed if `where` ends in .gz.
        where: its name.
        urls: SQL of the path, or the list of paths, to read.
        delimiter: between values.
        more: further options of read_csv.

    Raises:
        BadInput: it cannot be read, or its first line is no header.
    """
    try:
        plain = gzip.GzipFile(fileobj=raw) if where.endswith(".gz") else raw
        with io.TextIOWrapper(cast(BinaryIO, plain), encoding="utf-8-sig", newline="") as text:
            header = next(csv.reader(text, delimiter=delimiter), [])
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise unreadable(where, error) from error
    if not header or len(set(header)) < len(header) or "" in header:
        raise BadInput(
            f"no header line with a name for every column, but {header}",
            where=where,
            remedy=f"write the columns' names, each once and separated by {delimiter!r}, into the first line",
        )
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    options = f"""header = true, auto_detect = false, delim = {literal(delimiter)}, quote = '"', escape = '"'"""
    return f"read_csv({urls}, columns = {{{columns}}}, {options}, nullstr = ''{more})"


def fingerprint_file(path: Path) -> str:
    """Hash of size and content (see WHOLE_FILE_BYTES); no file times, so a copy has the same one."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if path.suffix == ".parquet" and size > WHOLE_FILE_BYTES:
            file.seek(-8, 2)
            footer = int.from_bytes(file.read(4), "little")
            file.seek(-min(size, footer + 8), 2)
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]
