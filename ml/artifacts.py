"""Atomic publishing: a directory exists complete with its `manifest.json`, or not at all.

Work goes into a `.<name>.work` directory, which a killed run leaves behind for the next one to resume from;
`publish` writes the manifest last and renames the directory into place, or uploads it (see `ml.s3_artifacts`).

    work = work_dir(cache / "report", fingerprint)
    publish(work, place("s3://bucket/report"), {"rows": 3})
    directory = fetch(place("s3://bucket/report"), cache / "report")     # a local directory, whatever the place
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.places import content, put, storage_errors

if TYPE_CHECKING:
    from upath import UPath

MANIFEST = "manifest.json"
NOTES = (".fingerprint", ".attempt")
"""What a work directory notes down for itself; not published."""


def work_dir(target: Path, fingerprint: str) -> Path:
    """The directory to build `target` (a local path) in: what an earlier attempt left, if it had this fingerprint."""
    work = target.with_name(f".{target.name}.work")
    stamp = work / ".fingerprint"
    if not (stamp.exists() and stamp.read_text() == fingerprint):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        stamp.write_text(fingerprint)
    return work


def publish(work: Path, target: Path | UPath, manifest: dict[str, Any]) -> dict[str, Any]:
    """Make `work` what `target` is: with a manifest that holds size and sha256 of every file.

    Args:
        work: see `work_dir`; if the target is on S3, it stays as the local copy that `fetch` finds.

    Returns:
        The manifest as written.
    """
    files = sorted(p for p in work.rglob("*") if p.is_file() and str(p.relative_to(work)) not in (MANIFEST, *NOTES))
    manifest = {
        **manifest,
        "files": {str(p.relative_to(work)): {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in files},
    }
    if not isinstance(target, Path):
        from ml.s3_artifacts import upload

        manifest = upload(work, target, manifest)
        target = work.with_name(work.name.removeprefix(".").removesuffix(".work"))
    for note in NOTES:
        (work / note).unlink(missing_ok=True)
    write_json(work / MANIFEST, manifest)
    move_into_place(work, target)
    return manifest


def fetch(directory: Path | UPath, cache: Path) -> Path:
    """A local directory with what is published: the directory itself, or on S3 its copy at `cache`.

    Raises:
        BadInput: it is not published, or what is there is not what its manifest says.
    """
    if isinstance(directory, Path):
        return directory
    from ml.s3_artifacts import download

    return download(directory, cache)


def move_into_place(work: Path, target: Path) -> None:
    """Rename a finished directory to its name; one that is already there gives way."""
    if target.exists():
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        work.rename(target)
        shutil.rmtree(old)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        work.rename(target)


def read_manifest(directory: Path | UPath) -> dict[str, Any] | None:
    """The manifest of a published directory; None if there is no complete one."""
    found: dict[str, Any] | None = read_json(directory / MANIFEST)
    return found


def read_json(path: Path | UPath) -> Any:
    """A JSON file; None if there is none."""
    if isinstance(path, Path):
        return json.loads(path.read_text()) if path.exists() else None
    with storage_errors(path):
        try:
            return json.loads(content(path))
        except FileNotFoundError:
            return None


def write_json(path: Path | UPath, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    text = json.dumps(value, indent=2, sort_keys=True, default=str) + "\n"
    if not isinstance(path, Path):
        with storage_errors(path):
            return put(text.encode(), path)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)
    return None


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_of(value: Any) -> str:
    """Short stable hash of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
