"""Raw files of a user's logs: which there are below DATA (local or s3://), of which day, and with which columns.

A directory is listed once, when first asked. Local files and objects go through the same fsspec filesystem, which
`connect` gives to DuckDB too. It does not know what columns mean.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from ml.errors import BadInput
from ml.places import is_remote, place, storage_errors
from ml.sources.files import csv_source, fingerprint_file, literal, unreadable
from ml.sources.log_patterns import SUFFIXES, FilePattern

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from upath import UPath

LOOKERS = 8
"""Files on S3 that are looked at at the same time."""


@dataclass(frozen=True)
class RawFile:
    """One file.

    Attributes:
        name: its path relative to DATA.
        url: how DuckDB and error messages name it.
        size: bytes.
        tag: ETag of an object; "" for local files.
        day: day that its path names, if the pattern has one.
        keys: hive keys of its path.
    """

    name: str
    url: str
    size: int
    tag: str = ""
    day: date | None = None
    keys: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def kind(self) -> str:
        """Suffix: files of different kinds are read apart."""
        return next(suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if self.name.endswith(suffix))


class RawFiles:
    """What lies below DATA."""

    def __init__(self, root: str | Path) -> None:
        self.remote = is_remote(root)
        self.root = str(root).rstrip("/") if self.remote else str(Path(root).absolute())
        self._listed: dict[str, dict[str, dict[str, Any]]] = {}
        self._columns: dict[tuple[str, str], dict[str, str]] = {}
        self._hashed: dict[str, str] = {}

    def place(self) -> Path | UPath:
        return place(self.root)

    @property
    def filesystem(self) -> AbstractFileSystem:
        if self.remote:
            return self.place().fs  # type: ignore[union-attr]
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem()

    def connect(self) -> duckdb.DuckDBPyConnection:
        """DuckDB that can read these files, with UTC as its zone."""
        con = duckdb.connect(config={"memory_limit": "2GB"})
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET enable_progress_bar = false")
        if self.remote:
            con.register_filesystem(self.filesystem)
        return con

    def find(self, patterns: Sequence[str]) -> list[RawFile]:
        """The files that match, each once, by name.

        Raises:
            BadInput: DATA cannot be listed.
        """
        found: dict[str, RawFile] = {}
        for text in patterns:
            pattern = FilePattern(text)
            for name, info in self._below(pattern.base).items():
                match = pattern.match(name)
                if match:
                    tag = str(info.get("ETag", "")).strip('"')
                    keys = dict(part.split("=", 1) for part in name.split("/")[:-1] if "=" in part)
                    day = pattern.day(match)
                    found[name] = RawFile(name, f"{self.root}/{name}", int(info["size"]), tag, day, keys)
        return [found[name] for name in sorted(found)]

    def names(self) -> list[str]:
        """Names of all files below DATA, hidden ones too."""
        return sorted(self._below(""))

    def _below(self, base: str) -> dict[str, dict[str, Any]]:
        base = "" if base == "." else base
        if base and "" in self._listed:  # everything was listed already
            return {n: i for n, i in self._listed[""].items() if n == base or n.startswith(f"{base}/")}
        if base not in self._listed:
            with storage_errors(self.root):
                if not self.remote and not Path(self.root).is_dir():
                    remedy = "set DATA to the directory of the logs"
                    raise BadInput("no such directory", where=self.root, remedy=remedy)
                bare = self.root.removeprefix("s3://")
                listed = self.filesystem.find(f"{bare}/{base}".rstrip("/"), detail=True)
            self._listed[base] = {name.removeprefix(bare).lstrip("/"): info for name, info in listed.items()}
        return self._listed[base]

    def fingerprint(self, files: Sequence[RawFile]) -> list[tuple[str, str]]:
        """Name and content of files: size and ETag of objects, without reading them; see `fingerprint_file` else."""
        for file in files:
            if file.name not in self._hashed:
                hashed = f"{file.size}-{file.tag}" if self.remote else fingerprint_file(Path(file.url))
                self._hashed[file.name] = hashed
        return [(file.name, self._hashed[file.name]) for file in files]

    def columns(self, con: duckdb.DuckDBPyConnection, file: RawFile, delimiter: str) -> dict[str, str]:
        """DuckDB type of each column inside one file (hive keys of its path are not).

        Raises:
            BadInput: the file cannot be read.
        """
        asked = (file.name, delimiter)
        if asked not in self._columns:
            with self.reading([file]):
                described = con.execute(f"DESCRIBE SELECT * FROM {self.sql([file], delimiter)}").fetchall()
            self._columns[asked] = {row[0]: row[1] for row in described if row[0] != FILE}
        return self._columns[asked]

    def look(
        self, con: duckdb.DuckDBPyConnection, files: Sequence[RawFile], delimiter: str
    ) -> Iterator[tuple[RawFile, dict[str, str] | BadInput]]:
        """Columns of each file, or why they cannot be read; objects several at a time."""
        from concurrent.futures import ThreadPoolExecutor

        def one(file: RawFile) -> dict[str, str] | BadInput:
            try:
                with con.cursor() as own:
                    return self.columns(own, file, delimiter)
            except BadInput as error:
                return error

        with ThreadPoolExecutor(LOOKERS if self.remote else 1) as pool:
            yield from zip(files, pool.map(one, files), strict=True)

    def sql(self, files: Sequence[RawFile], delimiter: str) -> str:
        """SQL that reads files of one kind and with the same columns, plus the column FILE with each one's url."""
        urls = "[" + ", ".join(literal(file.url) for file in files) + "]"
        if files[0].kind == ".parquet":
            return f"read_parquet({urls}, filename = '{FILE}', hive_partitioning = false)"
        tab = files[0].kind.startswith(".tsv")
        with self.reading(files[:1]), self.open(files[0]) as raw:
            return csv_source(raw, files[0].url, urls, "\t" if tab else delimiter, f", filename = '{FILE}'")

    @contextmanager
    def reading(self, files: Sequence[RawFile]) -> Iterator[None]:
        """Turn what goes wrong while these files are read into one BadInput."""
        try:
            yield
        except BadInput:
            raise
        except Exception as error:
            cause = _cause(error) if isinstance(error, duckdb.Error) else error
            gone = [f for f in files if isinstance(cause, FileNotFoundError | duckdb.IOException) and self._gone(f)]
            if gone:
                raise BadInput(
                    "the file was there when the directory was listed, and is gone now",
                    where=gone[0].url,
                    remedy="deliver it again, or type the same command again if it was meant to go",
                ) from error
            where = files[0].url if len(files) == 1 else self.root
            if self.remote and (said := _storage_said(cause, where)):
                raise said from error
            if isinstance(error, duckdb.Error | pa.ArrowException | OSError | EOFError):
                raise unreadable(_named(error, files), error) from error
            raise

    def open(self, file: RawFile) -> BinaryIO:
        opened: BinaryIO = self.filesystem.open(file.url, "rb")
        return opened

    def _gone(self, file: RawFile) -> bool:
        with storage_errors(file.url):
            return not self.filesystem.exists(file.url)


FILE = "__adprior_file"
"""Column with a row's file, under a name that no log uses."""


def _cause(error: duckdb.Error) -> Exception:
    """The Python exception of a filesystem, which DuckDB tells only as the text of its trace."""
    _, _, trace = str(error).partition("Traceback")
    said = re.search(r"^([\w.]+(?:Error|Exception|Timeout\w*)): ?(?:\[Errno (\d+)\] )?(.*)", trace, re.MULTILINE)
    if not said:
        return error
    name = said[1].rpartition(".")[2]
    known = getattr(builtins, name, None)
    kind = known if isinstance(known, type) and issubclass(known, Exception) else type(name, (Exception,), {})
    raised: Exception = kind(int(said[2]), said[3]) if said[2] else kind(said[3])
    return raised


def _storage_said(cause: Exception, where: str) -> BadInput | None:
    try:
        with storage_errors(where):
            raise cause
    except BadInput as said:
        return said
    except Exception:
        return None


def _named(error: Exception, files: Sequence[RawFile]) -> str:
    """The file that an error names, or the first."""
    return next((file.url for file in files if file.url in str(error)), files[0].url)


def covered(day: date, zone: str) -> tuple[date, date]:
    """First and last UTC day of which a local day has a part."""
    start = datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)
    return start.date(), (end - timedelta(microseconds=1)).date()


def last_whole(day: date, zone: str) -> date:
    """Last UTC day that is over when this local day is."""
    end = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)
    return end.date() - timedelta(days=1)
