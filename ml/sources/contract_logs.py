"""ContractLogs: raw logs that already have the contract's tables and column names, as Parquet, local or on S3.

    <root>/<table>/date=YYYY-MM-DD/*.parquet

Several files a day are read in name order; hidden files and those starting with `_` are skipped. Types may be
anything and may differ from file to file: `ml.sources.ingest` casts. Columns beyond the contract are ignored; a
nullable column that is missing is delivered as nulls.

Try it: `ContractLogs(Path("logs"), "mine").read("conversions", Window(date(2026, 1, 1), date(2026, 1, 7)))`
"""

from __future__ import annotations

from datetime import date
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from ml.artifacts import fingerprint_of
from ml.errors import BadInput
from ml.sources.contract import TABLES, Table
from ml.sources.files import parquet_columns, read_parquet
from ml.sources.log_files import RawFile, RawFiles
from ml.sources.problem import Problem
from ml.timeline import Window


class ContractLogs:
    """A LogSource over a directory; the directory is listed once, when first asked.

    Args:
        root: the directory, or an s3:// prefix.
        name: of the source.
        lenient: leave out directories with a wrong name instead of stopping at them.
    """

    def __init__(self, root: str | Path, name: str, *, lenient: bool = False) -> None:
        self.raw = RawFiles(root)
        self.root = self.raw.root
        self.name = name
        self.lenient = lenient

    def window(self) -> Window:
        days = [day for by_day in self._files.values() for day in by_day]
        if not days:
            raise BadInput(
                "no day partitions",
                where=self.root,
                remedy="deliver files as <table>/date=YYYY-MM-DD/*.parquet, or set DATA to the directory that has them",
            )
        return Window(min(days), max(days))

    def tables(self) -> set[str]:
        return set(self._files)

    def read(self, table: str, window: Window) -> pa.Table:
        """See LogSource.read; columns in the contract's order, then `_day`."""
        if table not in self._files:
            raise BadInput(
                "no such table", where=f"{self.root}/{table}", remedy=f"deliver {table}, or do not ask for it"
            )
        contract = TABLES[table]
        parts = [
            _read_file(self.raw, file, contract, day)
            for day, files in self._files[table].items()
            if day in window
            for file in files
        ]
        if parts:
            return _concatenate(parts, f"{self.root}/{table}")
        schema = [(name, pa.string()) for name in contract.column_names]
        return pa.schema([*schema, ("_day", pa.date32())]).empty_table()

    def problems(self) -> list[Problem]:
        """Every directory with a wrong name, every file that cannot be read, every column that is missing."""
        files, found = self._listing
        for name, by_day in files.items():
            listed = [file for by in by_day.values() for file in by]
            found = found + [problem for file in listed for problem in _file_problems(self.raw, file, TABLES[name])]
        return found

    def sound(self) -> ContractLogs:
        """The same logs without the directories that have a wrong name."""
        return ContractLogs(self.root, self.name, lenient=True)

    def fingerprint(self, day: date | None = None) -> str:
        """See LogSource.fingerprint; of local files' bytes, of objects' ETags."""
        listed = [item for by_day in self._files.values() for item in by_day.items()]
        files = [file for filed, files in listed if day in (None, filed) for file in files]
        return fingerprint_of(self.raw.fingerprint(sorted(files, key=lambda file: file.name)))

    @property
    def _files(self) -> dict[str, dict[date, list[RawFile]]]:
        """Files of each table by day, oldest first."""
        files, problems = self._listing
        if problems and not self.lenient:
            raise problems[0].error()
        return files

    @cached_property
    def _listing(self) -> tuple[dict[str, dict[date, list[RawFile]]], list[Problem]]:
        """Files of each table by day, oldest first, and what is wrong with names of directories."""
        partitions = {"/".join(name.split("/")[:2]) for name in self.raw.names() if name.split("/")[1:2]}
        partitions = {path for path in partitions if path.split("/")[1].startswith("date=")}
        found: dict[str, dict[date, list[RawFile]]] = {}
        problems: list[Problem] = []
        for directory in sorted({path.split("/")[0] for path in partitions}):
            if directory in TABLES:
                mine = sorted(path for path in partitions if path.startswith(f"{directory}/"))
                days = {path: _day_of(path) for path in mine}
                listed = self.raw.find([f"{directory}/date=*/*.parquet"])
                by_path = {path: [file for file in listed if file.name.rpartition("/")[0] == path] for path in mine}
                found[directory] = {day: by_path[path] for path, day in days.items() if day}
                problems += [_not_a_day(f"{self.root}/{path}") for path, day in days.items() if day is None]
            elif meant := get_close_matches(directory, TABLES, n=1, cutoff=0.8):
                problems.append(
                    Problem(
                        f"{directory!r} is no table of the contract",
                        where=f"{self.root}/{directory}",
                        remedy=f"rename it to {meant[0]!r}, or move it out of the logs",
                        example=directory,
                    )
                )
        return found, problems


def _day_of(partition: str) -> date | None:
    try:
        return date.fromisoformat(partition.rpartition("date=")[2])
    except ValueError:
        return None


def _not_a_day(partition: str) -> Problem:
    name = partition.rpartition("/")[2]
    return Problem(f"{name!r} is not a day", partition, "name it date=YYYY-MM-DD", example=name)


def _file_problems(raw: RawFiles, file: RawFile, contract: Table) -> list[Problem]:
    """What its footer shows to be wrong with one file: unreadable, or every required column it lacks."""
    try:
        present = _columns(raw, file)
    except BadInput as error:
        return [Problem.of(error, example=file.name.rpartition("/")[2])]
    return [_no_column(file, contract, column, present) for column in contract.required if column not in present]


def _columns(raw: RawFiles, file: RawFile) -> list[str]:
    with raw.reading([file]), raw.open(file) as opened:
        return parquet_columns(opened)


def _no_column(file: RawFile, contract: Table, column: str, present: list[str]) -> Problem:
    nearest = get_close_matches(column, present, n=1)
    return Problem(
        f"no column {column!r} in table {contract.name}; the file has {', '.join(present)}",
        where=file.url,
        remedy=f"deliver column {column!r}: the contract requires it",
        column=column,
        example=f"the file has {nearest[0]!r}" if nearest else f"none of its {len(present)} columns is named like it",
    )


def _read_file(raw: RawFiles, file: RawFile, contract: Table, day: date) -> pa.Table:
    present = _columns(raw, file)
    for column in contract.required:
        if column not in present:
            raise _no_column(file, contract, column, present).error()
    with raw.reading([file]), raw.open(file) as opened:
        table = read_parquet(opened, [name for name in contract.column_names if name in present])
    for i, name in enumerate(contract.column_names):
        if name not in present:
            table = table.add_column(i, name, pa.nulls(table.num_rows))
    table = table.select(contract.column_names)
    return table.append_column("_day", pa.array([day] * table.num_rows, pa.date32()))


def _concatenate(parts: list[pa.Table], where: str) -> pa.Table:
    """One table of all parts; a column whose type differs between files becomes text, so no file is lost."""
    columns = {}
    for name in parts[0].column_names:
        types = {part.schema.field(name).type for part in parts} - {pa.null()}
        if not types:
            types = {pa.string()}
        common = types.pop() if len(types) == 1 else pa.string()
        try:
            chunks = [chunk for part in parts for chunk in part.column(name).cast(common).chunks]
        except pa.ArrowException as error:
            raise BadInput(
                f"column {name!r} has types in different files that have nothing in common ({error})",
                where=where,
                remedy="deliver the column with one type, the contract's",
            ) from error
        columns[name] = pa.chunked_array(chunks, type=common)
    return pa.table(columns)
