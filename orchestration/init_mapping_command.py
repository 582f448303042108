"""`adprior init-mapping DATA`: drafts a mapping file from what lies in a directory or S3 prefix."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import yaml  # type: ignore[import-untyped]
from rich.console import Console

from ml.errors import BadInput
from ml.sources.drafting.draft import draft
from ml.sources.mapping_errors import TODO, undone
from orchestration.terminal import TerminalDisplay


def init_mapping_command(data: str, out: Path) -> None:
    """Write the draft to `out` and say what to do with it.

    Raises:
        BadInput: there is nothing to look at, or `out` is there already.
    """
    console = Console()
    if out.exists():
        raise BadInput(
            "there is a file of that name already, and it may hold your work",
            where=str(out),
            remedy="choose another with --out (MAPPING=...), or move it away",
        )
    with TerminalDisplay(console) as display:
        display.stage("looking at the files")
        text = draft(data, display.progress)
    out.write_text(text, encoding="utf-8")
    left = Counter(place[0] for place in undone(yaml.safe_load(text)))
    places = ", ".join(f"{name} ({n})" if n > 1 else name for name, n in left.items())
    console.print(f"Wrote [bold]{out}[/bold], with {left.total()} {TODO}: {places}", highlight=False)
    console.print(
        f"Next: complete them and read the rest, then [bold]adprior check --source parquet --data {data} "
        f"--mapping {out}[/bold]",
        highlight=False,
        soft_wrap=True,
    )
