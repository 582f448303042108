"""Commands that prepare a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.command import Out, Profile, command, in_group

GROUP = "Prepare a run"


@in_group(GROUP)
def settings(
    values: Annotated[
        bool, typer.Option("--values", help="Show the values in force, not the documentation.", show_default=False)
    ] = False,
) -> None:
    """List every setting with its meaning and default, as adprior.yaml documents them.

    [dim]Example:[/dim] adprior settings --values
    """
    with command():
        from orchestration.settings import load_settings
        from orchestration.settings_document import document

        typer.echo(load_settings().model_dump_json(indent=2) if values else document(), nl=values)


@in_group(GROUP, "fetch-model")
def fetch_model(profile: Profile = None, out: Out = None) -> None:
    """Fetch the base model into the cache, so that a later run needs no network.

    [dim]Example:[/dim] adprior fetch-model --profile small
    """
    with command(resumes=True, profile=profile, out=out):
        from ml.llm.base_model import fetch_base_model
        from orchestration.settings import load_settings
        from orchestration.workspace import Workspace

        name = load_settings().llm.base_model
        typer.echo(f"{name}: {fetch_base_model(name, Workspace().base_models)}")


@in_group(GROUP, "init-mapping")
def init_mapping(
    data: Annotated[str, typer.Argument(metavar="DATA")],
    out: Annotated[Path, typer.Option(help="File to write; never an existing one.", metavar="FILE")] = Path(
        "mapping.yaml"
    ),
) -> None:
    """Draft the mapping file for your own logs (SOURCE=parquet) from what lies in DATA: a directory or s3:// prefix.

    It looks at paths, columns and some rows, guesses which is what, and leaves TODO where only you can say: consent
    first of all. The draft is refused until these are complete.

    [dim]Example:[/dim] adprior init-mapping s3://bucket/logs --out mapping.yaml
    """
    with command():
        from orchestration.init_mapping_command import init_mapping_command

        init_mapping_command(data, out)
