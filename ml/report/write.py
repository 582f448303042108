"""Write the report of a run: `report.html`, self-contained, and `report.json`, the same numbers.

It computes no figure: what is null in `results` is "n/a" on the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml.artifacts import write_json
from ml.report.page import render
from ml.report.schema import Results, parse
from ml.report.summary import verdicts

REPORT_VERSION = 1
"""Rises when a key of report.json changes its meaning or goes."""


def write_report(results: Results | dict[str, Any], directory: Path) -> None:
    """Write both files into `directory` (made if absent), each whole or not at all.

    Args:
        results: figures of the run, as in ml.report.schema and docs/report-json.md.

    Raises:
        BadInput: keys of `results` are missing, unknown or wrong; nothing is written.
    """
    typed = parse(results)
    html = render(typed)
    directory.mkdir(parents=True, exist_ok=True)
    figures = typed.model_dump(mode="json")
    write_json(directory / "report.json", {"report_version": REPORT_VERSION, "verdicts": verdicts(typed), **figures})
    temporary = directory / ".report.html.tmp"
    temporary.write_text(html, encoding="utf-8")
    temporary.replace(directory / "report.html")
