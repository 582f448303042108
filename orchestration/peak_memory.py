"""Peak resident memory of the processes that worked on a workspace; a resumed run counts its earlier parts."""

from __future__ import annotations

import json
import resource
from pathlib import Path

from ml.artifacts import write_json


def peak_rss_mb(root: Path) -> float:
    """Highest peak RSS of this process and of those that recorded theirs, in MB."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    path = root / "peak-rss.json"
    before = json.loads(path.read_text())["mb"] if path.exists() else 0.0
    return float(max(own, before))


def record_peak(root: Path) -> None:
    """Remember this process's peak; every stage does so when it publishes."""
    write_json(root / "peak-rss.json", {"mb": peak_rss_mb(root)})
