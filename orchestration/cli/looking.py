"""Commands that show what was made. They open what the options name, else what the last run made."""

from __future__ import annotations

from typing import Annotated

import typer

from ml.errors import BadInput
from orchestration.cli.command import AsOf, Data, Json, Mapping, Out, Profile, Source, app, command

GROUP = "Look at what was made"


@app.command(rich_help_panel=GROUP)
def explain(
    user_id: Annotated[
        str | None, typer.Argument(metavar="USER_ID", help="As in the logs; --sample lists some.", show_default=False)
    ] = None,
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

    Shows profile, stream, prompt, predictions by source, priors, candidates with who proposed them, ranker scores, what
    happened afterwards, and every version; also as a page beside the report. Only consenting users are shown.

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


@app.command(rich_help_panel=GROUP)
def ui(
    profile: Profile = None, source: Source = None, data: Data = None, mapping: Mapping = None, out: Out = None
) -> None:
    """Open the Dagster and MLflow pages on what the last run left (Ctrl-C ends both).

    [dim]Example:[/dim] adprior ui
    """
    with command(profile=profile, source=source, data=data, mapping=mapping, out=out):
        from orchestration.ui_command import ui_command

        ui_command()
