"""`adprior report`: the results of a report on the terminal, as `adprior run` ends, and where its page lies."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ml.errors import BadInput
from orchestration.last_run import settings_of_last_run
from orchestration.workspace import Workspace, day_to_look_at


def report_command(*, open_page: bool, as_json: bool) -> None:
    """Print one report: the newest, or that of the day the settings name.

    Raises:
        BadInput: there is none, or no browser to open it in.
    """
    workspace = Workspace(settings_of_last_run())
    directory = workspace.local("report", day_to_look_at(workspace, "report"))
    if as_json:
        print((directory / "report.json").read_text(), end="")
    else:
        print_results(Console(), directory)
    if open_page:
        _open(directory / "report.html")


def list_command(*, as_json: bool) -> None:
    """List every report of the workspace, newest first."""
    workspace = Workspace(settings_of_last_run())
    found = [_line(workspace.local("report", day)) for day in reversed(workspace.days("report"))]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if not found:
        day_to_look_at(workspace, "report")  # says what to do
    table = Table("snapshot day", "written", "test users", "commit", "up to", box=SIMPLE, pad_edge=False)
    for line in found:
        table.add_row(*(str(line[key]) for key in ("as_of", "created", "test_users", "git_commit", "test_closes")))
    console = Console()
    console.print(f"Reports of {workspace.root.name}, the newest first:", table)
    pages = workspace.local("report", workspace.days("report")[-1]).parent
    console.print(f"Pages: {pages}/<day>/report.html", soft_wrap=True)


def print_results(console: Console, directory: Path) -> None:
    """The results table of a published report, its verdicts, and where the page lies."""
    from ml.report.summary import summary_rows, verdicts

    stored = json.loads((directory / "report.json").read_text())
    results = {key: value for key, value in stored.items() if key not in ("report_version", "verdicts")}
    console.print(f"\n[bold]Results as of {results['as_of']}[/bold]  (95 % intervals over users)")
    if results["profile"] == "tiny":
        console.print(
            "Profile tiny: a random LLM, few users. Every stage runs, the figures mean nothing.", style="yellow"
        )
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in summary_rows(results):
        parts.setdefault(row["part"], []).append(row)
    for part, rows in parts.items():
        table = Table(part, *rows[0]["measures"], box=SIMPLE, title_justify="left")
        for row in rows:
            table.add_row(row["arm"], *row["measures"].values())
        console.print(table)
    for verdict in verdicts(results):
        badge, said = verdict.split(maxsplit=1)
        hanging = Table.grid(padding=(0, 2, 0, 0))
        hanging.add_row(Text(f"{badge:<5}"), Text(said))
        console.print(Padding(hanging, (0, 0, 0, 2)))
    console.print(f"\nReport: [bold]{directory / 'report.html'}[/bold]", soft_wrap=True)


def _line(directory: Path) -> dict[str, Any]:
    report = json.loads((directory / "report.json").read_text())
    return {
        **{key: report[key] for key in ("as_of", "source", "profile", "created", "git_commit")},
        "test_users": report["counts"]["test_users"],
        "test_closes": report["timeline"]["test_closes"],
        "page": str(directory / "report.html"),
    }


def _open(page: Path) -> None:
    if not webbrowser.open(page.absolute().as_uri()):
        raise BadInput("no browser to open the page in", where=str(page), remedy="open this file where there is one")
