"""Places: where files lie, a local directory or an s3:// prefix, behind one path object.

    place("logs")                      pathlib.Path
    place("s3://bucket/logs")          UPath over s3fs: the same methods (/, glob, open, read_bytes, exists)

Credentials, region and endpoint come from the standard AWS chain (environment, ~/.aws, instance role) and from
nowhere else. Listings are never cached: another process may have written. `storage_errors` turns what S3
answers into one BadInput. It does not know what the files hold.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.errors import BadInput

if TYPE_CHECKING:
    from upath import UPath

S3_CONFIG: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 20,
    "retries": {"total_max_attempts": 4, "mode": "standard"},
}
"""Seconds until a silent server counts as gone, and tries in all (so about 90 s until a run stops)."""

SLOWEST = 100_000
"""Bytes a second below which an upload counts as stuck."""
AGAIN = "check the network and AWS_ENDPOINT_URL; what was finished is kept, type the same command again"


def is_remote(where: str | Path | UPath) -> bool:
    """Does this name a place on S3?"""
    return str(where).startswith("s3://")


def place(where: str | Path | UPath) -> Path | UPath:
    """A path object for a local path or an s3:// URL.

    Raises:
        BadInput: a URL of another kind.
    """
    text = str(where)
    if not is_remote(text):
        if "://" in text:
            raise BadInput(f"cannot read {text.split('://')[0]}:// places", where=text, remedy="use a path or s3://")
        return Path(text)
    from upath import UPath

    found = UPath(text, use_listings_cache=False, config_kwargs=S3_CONFIG)
    found.fs.retries = 1  # botocore retries; s3fs around it would make 25 tries and ten minutes of four
    return found


def put(content: bytes | Path, to: UPath) -> None:
    """Write one object whole: what a reader sees is the old one or the new one.

    Not `to.open("wb")`: such a file commits what it has when it is closed by an exception or collected, half
    written or not. And with a time limit: the HTTP client has none while it sends, and would wait for ever.

    Args:
        content: bytes, or the local file that holds them.
        to: an S3 path.
    """
    from fsspec.asyn import sync

    fs, size = to.fs, len(content) if isinstance(content, bytes) else content.stat().st_size
    write = fs._pipe_file if isinstance(content, bytes) else fs._put_file
    given = (to.path, content) if isinstance(content, bytes) else (str(content), to.path)
    tries = S3_CONFIG["retries"]["total_max_attempts"]
    waits = tries * (S3_CONFIG["connect_timeout"] + S3_CONFIG["read_timeout"]) + 2**tries
    sync(fs.loop, write, *given, timeout=waits + size / SLOWEST)


def content(of: UPath) -> bytes:
    """The bytes of one object, by one request (`read_bytes` asks for the size first).

    Raises:
        FileNotFoundError: there is no such object, or no such bucket.
    """
    found: bytes = unbroken(of.fs.cat_file, of.path, max_concurrency=1)
    return found


def unbroken(read: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call `read` again where an answer breaks off in the middle: botocore tries again only until it begins."""
    for _ in range(S3_CONFIG["retries"]["total_max_attempts"] - 1):
        try:
            return read(*arguments, **options)
        except Exception as error:
            if not _broke_off(error):
                raise
    return read(*arguments, **options)


def must_answer(where: UPath) -> None:
    """Ask S3 for one key under a place, so that a wrong key or bucket shows before any work is done.

    Raises:
        BadInput: there is no such bucket, or it does not let us in.
    """
    bucket, key, _ = where.fs.split_path(where.path)
    with storage_errors(where):
        where.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)


@contextmanager
def storage_errors(where: str | Path | UPath) -> Iterator[None]:
    """Turn what a storage server answers into BadInput; errors of local files pass unchanged."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        if not is_remote(where) or (said := _said(error)) is None:
            raise
        what, remedy = said
        raise BadInput(what, where=str(where), remedy=remedy) from error


def _broke_off(error: Exception) -> bool:
    return type(error).__name__ in (
        "ClientPayloadError",
        "IncompleteRead",
        "IncompleteReadError",
        "ResponseParserError",
    )


def _said(error: Exception) -> tuple[str, str] | None:
    """What went wrong on S3 and what to do, or None for an error that is not the storage's."""
    if isinstance(error, FileNotFoundError):
        return (
            "no such bucket or object (it may just have been deleted)",
            "correct the s3:// address or deliver the files; after a deletion, type the same command again",
        )
    if type(error).__name__ == "FileExpired":
        return "the object was replaced while it was read", "type the same command again"
    if isinstance(error, PermissionError) or type(error).__name__ == "NoCredentialsError":
        return (
            "S3 refused access: the key is wrong, or may not do this",
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE, or the role) and the bucket's policy",
        )
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "the S3 server did not answer in time", AGAIN
    if isinstance(error, ConnectionError) or "Connection" in type(error).__name__ or _broke_off(error):
        return "no connection to the S3 server, or it broke off", AGAIN
    if isinstance(error, OSError) and error.errno in (errno.EREMOTEIO, errno.EBUSY, errno.EIO):
        return f"the S3 server failed, and again at every try ({error.strerror})", AGAIN
    return None
