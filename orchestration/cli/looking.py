"""Commands that show what was made. They open what the options name, else what the last run made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ml.errors import BadInput
from orchestration.cli.command import AsOf, Data, Json, Mapping, Out, Profile, Source, command, in_group

GROUP = "Look at what was made"


@in_group(GROUP)
def explain(
    user_id: Annotated[str | None, typer.Argument(metavar="USER_ID", show_default=False)] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="List a few user ids that have everything.", show_default=False)
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every row of long tables.", show_default=False)
    ] = False,
    as_json: Json = False,
    profile: Profile = None,
    source: Source = None,
    data: Data = None,
    mapping: Mapping = None,
    out: Out = None,
    as_of: AsOf = None,
) -> None:
    """Follow one user through the system: what was known, predicted, proposed and scored, and by which versions.

    USER_ID is the id as in the logs; --sample lists a few. Shows profile, stream, prompt, predictions by source,
    priors, candidates with who proposed them, ranker scores, what happened afterwards, and every version; also as a
    page beside the report. Only consenting users are shown.

    [dim]Example:[/dim] adprior explain --sample, then adprior explain u00042
    """
    with command(profile=profile, source=source, data=data, mapping=mapping, out=out, as_of=as_of):
        from orchestration.explain_command import explain_command, sample_command

        if user_id is None and not sample:
            raise BadInput(
                "no user named", where="adprior explain USER_ID", remedy="`adprior explain --sample` lists some"
            )
        if user_id is None or sample:
            sample_command()
        else:
            explain_command(user_id, everything=everything, as_json=as_json)


@in_group(GROUP)
def report(
    list_all: Annotated[bool, typer.Option("--list", help="List all reports there are.", show_default=False)] = False,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open report.html in the browser.", show_default=False)
    ] = False,
    as_json: Json = False,
    profile: Profile = None,
    source: Source = None,
    out: Out = None,
    as_of: AsOf = None,
) -> None:
    """Show the results of a report as `adprior run` does, the newest by default, and where its page lies.

    [dim]Example:[/dim] adprior report --open
    """
    with command(profile=profile, source=source, out=out, as_of=as_of):
        from orchestration.report_command import list_command, report_command

        if list_all:
            list_command(as_json=as_json)
        else:
            report_command(open_page=open_page, as_json=as_json)


@in_group(GROUP)
def models(as_json: Json = False, profile: Profile = None, source: Source = None, out: Out = None) -> None:
    """List the registered model versions: aliases, main metrics, MLflow run, recipe, and which the newest day uses.

    [dim]Example:[/dim] adprior models
    """
    with command(profile=profile, source=source, out=out):
        from orchestration.models_command import models_command

        models_command(as_json=as_json)


@in_group(GROUP)
def runs(
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="How many, the newest first; by default 20.", show_default=False)
    ] = 20,
    as_json: Json = False,
    profile: Profile = None,
    source: Source = None,
    out: Out = None,
) -> None:
    """List the newest Dagster runs: what each made for which day, how it went, and why it failed.

    [dim]Example:[/dim] adprior runs --limit 5
    """
    with command(profile=profile, source=source, out=out):
        from orchestration.runs_command import runs_command

        runs_command(limit, as_json=as_json)


@in_group(GROUP, "world-card")
def world_card(
    purchases: Annotated[
        Path | None,
        typer.Option(
            "--purchases",
            help="Purchase log in the layout of amazon14, to set beside.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", help="File to write; by default it is printed.", metavar="FILE", show_default=False),
    ] = None,
    profile: Profile = None,
) -> None:
    """Describe the simulated world: its statistics beside those of a real purchase log and beside published figures.

    It simulates the world of the settings anew and leaves nothing else behind. Half a minute for the small world.

    [dim]Example:[/dim] adprior world-card --write docs/world.md
    """
    with command(profile=profile):
        from orchestration.world_card_command import world_card_command

        world_card_command(purchases, write)


@in_group(GROUP)
def ui(
    profile: Profile = None, source: Source = None, data: Data = None, mapping: Mapping = None, out: Out = None
) -> None:
    """Open the Dagster and MLflow pages on what the last run left (Ctrl-C ends both).

    [dim]Example:[/dim] adprior ui
    """
    with command(profile=profile, source=source, data=data, mapping=mapping, out=out):
        from orchestration.ui_command import ui_command

        ui_command()
