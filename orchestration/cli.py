"""`adprior`: what the make targets call."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ml.errors import AdpriorError

app = typer.Typer(
    help="Adprior: an LLM's advertiser forecasts as candidates and priors, measured honestly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Profile = Annotated[str | None, typer.Option(help="tiny, small or full: size of everything.")]
Source = Annotated[str | None, typer.Option(help="world (simulated) or purchases (a purchase log).")]
Data = Annotated[Path | None, typer.Option(help="Directory of the purchase log.")]
Mapping = Annotated[Path | None, typer.Option(help="Mapping file of the purchase log.")]
Out = Annotated[Path | None, typer.Option(help="Directory for everything that is written (default var/).")]
AsOf = Annotated[datetime | None, typer.Option("--as-of", formats=["%Y-%m-%d"], help="Snapshot day.")]


@app.command()
def run(
    profile: Profile = None,
    source: Source = None,
    data: Data = None,
    mapping: Mapping = None,
    out: Out = None,
    as_of: AsOf = None,
) -> None:
    """Materialize the whole graph for one snapshot day, resuming what an earlier run left."""
    _settle(profile=profile, source=source, data=data, mapping=mapping, out=out, as_of=as_of and as_of.date())
    with _plain_errors():
        from orchestration.run_command import run_command

        run_command()


@app.command()
def ui(
    profile: Profile = None, source: Source = None, data: Data = None, mapping: Mapping = None, out: Out = None
) -> None:
    """Open the Dagster and MLflow pages on what the last run left (Ctrl-C ends both)."""
    _settle(profile=profile, source=source, data=data, mapping=mapping, out=out)
    with _plain_errors():
        from orchestration.ui_command import ui_command

        ui_command()


@app.command()
def settings(
    values: Annotated[bool, typer.Option("--values", help="Show the values in force, not the documentation.")] = False,
) -> None:
    """List every setting with its meaning and default, as adprior.yaml documents them."""
    with _plain_errors():
        from orchestration.settings import load_settings
        from orchestration.settings_document import document

        typer.echo(load_settings().model_dump_json(indent=2) if values else document(), nl=values)


@app.command("fetch-model")
def fetch_model(profile: Profile = None, out: Out = None) -> None:
    """Fetch the base model into the cache, so that a later run needs no network."""
    _settle(profile=profile, out=out)
    with _plain_errors():
        from ml.llm.base_model import fetch_base_model
        from orchestration.settings import load_settings
        from orchestration.workspace import Workspace

        name = load_settings().llm.base_model
        typer.echo(f"{name}: {fetch_base_model(name, Workspace().base_models)}")


def _settle(**given: Any) -> None:
    """Put command-line values where every process of this run reads its settings: the environment."""
    for name, value in given.items():
        if value is not None and str(value) != "":
            os.environ[f"ADPRIOR_{name.upper()}"] = str(value)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Show an error that the user can mend as a message, and leave with exit code 1; others keep their trace."""
    try:
        yield
    except AdpriorError as error:
        typer.secho(f"\nerror: {error}", fg="red", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("\nstopped; type the same command again to go on where it was", err=True)
        sys.exit(130)


def dagster_home(workspace: Path) -> Path:
    """DAGSTER_HOME of a workspace, made with our instance settings if it is new."""
    home = workspace / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).parent.parent / "dagster.yaml", home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    return home
