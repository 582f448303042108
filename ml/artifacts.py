"""Atomic publishing: a directory exists complete with its `manifest.json`, or not at all.

Work goes into a sibling `.<name>.work` directory, which a killed run leaves behind for the next one to
resume from; `publish` writes the manifest last and renames the directory into place.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


def work_dir(target: Path, fingerprint: str) -> Path:
    """The directory to build `target` in: what an earlier attempt left, if it had the same fingerprint."""
    work = target.with_name(f".{target.name}.work")
    stamp = work / ".fingerprint"
    if not (stamp.exists() and stamp.read_text() == fingerprint):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        stamp.write_text(fingerprint)
    return work


def publish(work: Path, target: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest (with size and sha256 of every file) into `work` and move it to `target`.

    Returns:
        The manifest as written.
    """
    (work / ".fingerprint").unlink(missing_ok=True)
    files = sorted(p for p in work.rglob("*") if p.is_file() and p.name != MANIFEST)
    manifest = {
        **manifest,
        "files": {str(p.relative_to(work)): {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in files},
    }
    write_json(work / MANIFEST, manifest)
    if target.exists():
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        work.rename(target)
        shutil.rmtree(old)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        work.rename(target)
    return manifest


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of a published directory; None if there is no complete one."""
    path = directory / MANIFEST
    return json.loads(path.read_text()) if path.exists() else None


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")
    temporary.replace(path)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_of(value: Any) -> str:
    """Short stable hash of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
