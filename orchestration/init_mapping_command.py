"""`adprior init-mapping DATA`: drafts a mapping file from what lies in a directory or S3 prefix."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ml.errors import BadInput
from ml.sources.drafting.draft import draft
from ml.sources.mapping_errors import TODO
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
    left = [line.partition(":")[0].strip() for line in text.splitlines() if TODO in line.partition("#")[0]]
    console.print(f"Wrote [bold]{out}[/bold], with {len(left)} TODO: {', '.join(left)}", highlight=False)
    console.print(
        f"Next: complete them and read the rest, then [bold]adprior check --source parquet --data {data} "
        f"--mapping {out}[/bold]",
        highlight=False,
        soft_wrap=True,
    )
