"""The boundaries of the house: ml/ is pure, serving/ knows no dagster (contracts in pyproject.toml)."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_import_contracts_hold():
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_ml_does_not_read_the_environment():
    offenders = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "ml").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "putenv"})
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {a.name for a in node.names} & {"environ", "getenv"}
        )
    ]
    assert not offenders


def test_asset_files_do_not_postpone_annotations():
    """`from __future__ import annotations` breaks Dagster's context annotations."""
    offenders = [
        p.name for p in (ROOT / "assets").glob("*.py") if "from __future__ import annotations" in p.read_text()
    ]
    assert not offenders
