"""Published directories on S3, where nothing can be renamed: files first, under a name of their own; the manifest last.

    <target>/manifest.json                         names the attempt, and size and sha256 of every file
    <target>/20260422T101500Z-1f3a9c52/...         the files of that attempt

The PUT of the manifest is the switch: before it a reader sees the old result, after it the new one, also when a day
is published again. A killed upload leaves an attempt that no manifest names; the next try on the same work directory
goes on with it, and whatever else is left over is removed a day later. Readers get a local copy, checked file by file.
"""

from __future__ import annotations

import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.artifacts import MANIFEST, move_into_place, read_manifest, sha256, write_json
from ml.errors import BadInput
from ml.places import put, storage_errors, unbroken

if TYPE_CHECKING:
    from upath import UPath

STAMP = "%Y%m%dT%H%M%SZ"
LEFT_OVER = timedelta(days=1)
"""Age at which an attempt that no manifest names cannot be an upload under way any more."""
AT_ONCE = 8
"""Files on their way at a time."""


def upload(work: Path, target: UPath, manifest: dict[str, Any]) -> dict[str, Any]:
    """Publish the files of `work` that the manifest lists; returns the manifest with its attempt."""
    attempt = _attempt(work)
    manifest = {**manifest, "attempt": attempt}
    before = read_manifest(target) or {}
    with storage_errors(target), ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: put(work / name, target / attempt / name), manifest["files"]))
    write_json(target / MANIFEST, manifest)
    _remove_others(target, attempt, before.get("attempt"))
    return manifest


def download(directory: UPath, cache: Path) -> Path:
    """The published files at `cache`: those of an earlier call if nothing was published since.

    Raises:
        BadInput: nothing is published, or a file is gone or not what the manifest says.
    """
    manifest = read_manifest(directory)
    while manifest is not None:
        if read_manifest(cache) == manifest:
            return cache
        try:
            _copy(directory, manifest, cache)
        except BadInput:
            found = read_manifest(directory)
            if found == manifest:
                raise
            manifest = found  # published again meanwhile: the files of before are gone
    raise BadInput("not published yet", where=str(directory), remedy="materialize this asset first")


def _attempt(work: Path) -> str:
    """Name of this attempt; a killed one goes on under its name."""
    note = work / ".attempt"
    if not note.exists():
        note.write_text(f"{datetime.now(UTC):{STAMP}}-{secrets.token_hex(4)}")
    return note.read_text()


def _copy(directory: UPath, manifest: dict[str, Any], cache: Path) -> None:
    """Download all files beside `cache`, check them, and move them there."""
    beside = cache.with_name(f".{cache.name}.{secrets.token_hex(4)}.fetch")
    remedy = f"materialize the asset again; `adprior run` does once {directory / MANIFEST} is deleted"

    def copy_file(name: str) -> None:
        source, to, about = directory / manifest["attempt"] / name, beside / name, manifest["files"][name]
        to.parent.mkdir(parents=True, exist_ok=True)
        with storage_errors(source):
            try:
                unbroken(source.fs.get_file, source.path, str(to))
            except FileNotFoundError as error:
                raise BadInput("a published file is gone", where=str(source), remedy=remedy) from error
        if to.stat().st_size != about["bytes"] or sha256(to) != about["sha256"]:
            raise BadInput("a published file is not what its manifest says", where=str(source), remedy=remedy)

    try:
        beside.mkdir(parents=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(copy_file, manifest["files"]))
        write_json(beside / MANIFEST, manifest)
        move_into_place(beside, cache)
    except OSError:
        if read_manifest(cache) != manifest:  # else another process fetched it meanwhile
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _remove_others(target: UPath, attempt: str, replaced: str | None) -> None:
    """Remove the attempt that was replaced, and leftovers of killed uploads that are old enough."""
    oldest = f"{datetime.now(UTC) - LEFT_OVER:{STAMP}}"
    with storage_errors(target):
        names = {key.removeprefix(f"{target.path}/").split("/")[0] for key in target.fs.find(target.path)}
        gone = [name for name in names - {attempt, MANIFEST} if name == replaced or name < oldest]
        for name in gone:
            target.fs.rm((target / name).path, recursive=True)
