"""Documents tell the truth where a machine can see it: paths exist, make targets exist, no path of one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_linked_and_named_files_exist(document: Path):
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:ml|assets|orchestration|serving|tests|docs|benchmarks)/[\w./-]+)`", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    missing += [name for name in named if not (ROOT / name).exists() and "*" not in name]
    assert missing == []


def test_named_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {t for d in DOCUMENTS for t in re.findall(r"`make ([a-z-]+)", d.read_text())}
    assert named <= targets


def test_make_help_lists_every_target():
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "explain", "report", "models", "runs", "ui", "test", "test-slow", "lint", "clean", "help"):
        assert f"\n  {target} " in said
