"""`adprior run`: the pipeline with progress on the terminal, then a short table and what to try next."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from ml.artifacts import read_manifest
from ml.errors import AdpriorError
from orchestration.dagster_home import use_dagster_home
from orchestration.last_run import remember, there
from orchestration.report_command import print_results
from orchestration.settings import Settings, load_settings
from orchestration.terminal import TerminalDisplay, display
from orchestration.workspace import Workspace
from orchestration.workspace_lock import writing

if TYPE_CHECKING:
    import dagster as dg


class RunStopped(AdpriorError):
    """The run stopped before the report; the message carries the reason."""


def run_command() -> None:
    """Run, then print.

    Raises:
        AdpriorError: with the one reason the run stopped.
    """
    with session("adprior run") as (workspace, instance, console):
        from orchestration.definitions import defs
        from orchestration.runner import run_everything

        day = run_everything(workspace, defs, instance)
    if read_manifest(workspace.table("report", day)):
        print_results(console, workspace.local("report", day))
    else:
        console.print(f"\nThe outcomes of {day} are not all known yet: predictions and candidates are made, no report.")
    ui = f"make ui{there(workspace.settings)}"
    console.print(f"\nNext: [bold]{ui}[/bold] opens the Dagster and MLflow pages on this state.", soft_wrap=True)


@contextmanager
def session(what: str) -> Iterator[tuple[Workspace, dg.DagsterInstance, Console]]:
    """A terminal at work on the workspace of the settings: its Dagster instance, base model at hand, stages shown.

    Args:
        what: the command, for a second one that finds this one at work.

    Raises:
        BadInput: another process is at work on the workspace.
        RunStopped: a stage or check failed inside; with the one reason.
    """
    warnings.filterwarnings("ignore")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # it logs a Ctrl-C that meets it, with its trace
    settings, console = load_settings(), Console()
    workspace = Workspace(settings)
    with writing(workspace.root, what), TerminalDisplay(console) as shown:
        use_dagster_home(workspace.root)
        remember(settings)
        about = f"profile {settings.profile}, source {settings.source}"
        console.print(f"[bold]Adprior[/bold]  {about}, into {workspace.place}", soft_wrap=True)
        shown.stage("starting")
        workspace.must_answer()

        import dagster as dg

        from orchestration.runner import RunFailed

        with dg.DagsterInstance.get() as instance:
            try:
                _fetch_base_model(workspace)
                shown.stage("looking at the logs")
                yield workspace, instance, console
            except RunFailed as failure:
                raise RunStopped(f"{failure}\n  nothing downstream was run; {what_shows_more(settings)}") from None


def what_shows_more(settings: Settings) -> str:
    """Where to look after a run that stopped; somebody's own logs are the likeliest cause."""
    ui = f"`make ui{there(settings)}` shows the failed run"
    return (
        ui if settings.source == "world" else f"{ui}, `make check` with the same arguments what is wrong with the logs"
    )


def _fetch_base_model(workspace: Workspace) -> None:
    """Fetch it before anything runs: without network this is where to learn it, and it is no stage's time."""
    from ml.llm.base_model import fetch_base_model

    display().stage("base model")
    fetch_base_model(workspace.settings.llm.base_model, workspace.base_models, display().progress)
