"""DuckDB over S3: a file system that knows one listing of a prefix, and errors that say what the server did.

    con = attach(duckdb.connect(), place("s3://bucket/lake"))
    con.execute("SELECT count(*) FROM read_parquet('s3://bucket/lake/clicks/*/part-0.parquet')").fetchall()

One LIST when attached; then a small object costs one GET, and none again in this process while it stays the same:
the stages of a run each connect anew and read the same days. An object that was replaced or deleted since the listing
is an error, not a mix of old and new. It reads only: see `ml.places.put` for writing. Imports s3fs, so import it
inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import duckdb
from cachetools import LRUCache
from s3fs import S3FileSystem

from ml.errors import BadInput
from ml.places import S3_CONFIG, storage_errors, unbroken

if TYPE_CHECKING:
    from upath import UPath

BLOCK = 2 * 2**20
"""Bytes read ahead: a small object comes with one request, of a large one only the columns asked for."""
KEPT: LRUCache[tuple[str, str], bytes] = LRUCache(128 * 2**20, getsizeof=len)
"""Small objects read so far, by URL and ETag, up to 128 MB."""
LOCK = Lock()


class Reader(S3FileSystem):  # type: ignore[misc]
    """s3fs with the listing kept, and the last fault of the storage remembered: DuckDB passes on only its text."""

    fault: BadInput | None = None
    retries = 1  # botocore's are enough

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode != "rb":
            raise NotImplementedError("this file system only reads; see ml.places.put")
        file = self._guarded(f"s3://{path}", partial(super()._open, path, mode, **options))
        fetch = partial(self._guarded, f"s3://{path}", partial(unbroken, file.cache.fetcher))
        small = file.size <= BLOCK
        file.cache.fetcher = partial(_fetch_kept, (path, file.details["ETag"]), file.size, fetch) if small else fetch
        return file

    def _guarded(self, url: str, action: Callable[..., Any], *arguments: Any) -> Any:
        try:
            with storage_errors(url):
                return action(*arguments)
        except BadInput as fault:
            self.fault = fault
            raise


def _fetch_kept(key: tuple[str, str], size: int, fetch: Callable[[int, int], bytes], start: int, end: int) -> bytes:
    """A range of a small object, which is fetched whole, once."""
    with LOCK:
        whole = KEPT.get(key)
    if whole is None:
        whole = fetch(0, size)
        with LOCK:
            KEPT[key] = whole
    return whole[start:end]


class Guarded:
    """A DuckDB connection or relation whose errors are the reader's where the reader had one."""

    def __init__(self, inner: Any, reader: Reader) -> None:
        self._inner, self._reader = inner, reader

    def __enter__(self) -> Guarded:
        return self

    def __exit__(self, *arguments: object) -> None:
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        return partial(self._call, value) if callable(value) else value

    def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self._reader.fault = None
        try:
            found = method(*arguments, **options)
        except duckdb.Error as error:
            raise (self._reader.fault or error) from None
        wrapped = isinstance(found, duckdb.DuckDBPyConnection | duckdb.DuckDBPyRelation)
        return Guarded(found, self._reader) if wrapped else found


def attach(con: duckdb.DuckDBPyConnection, root: UPath) -> duckdb.DuckDBPyConnection:
    """The connection, able to read s3:// and to say what went wrong there; lists everything under `root`.

    Raises:
        BadInput: the server does not let us in.
    """
    reader = Reader(use_listings_cache=True, config_kwargs=S3_CONFIG, default_block_size=BLOCK)
    with storage_errors(root):
        reader.invalidate_cache()
        reader.find(root.path)
    con.register_filesystem(reader)
    # Each connection has a cache of its own, and what it has listed does not change: no need to ask again.
    con.execute("SET validate_external_file_cache = 'NO_VALIDATION'")
    return cast(duckdb.DuckDBPyConnection, Guarded(con, reader))
