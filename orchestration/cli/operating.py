"""Commands that keep the pipeline running over many days."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.command import Data, Mapping, Out, Profile, Source, as_day, command, in_group

GROUP = "Keep it running"
First = Annotated[
    str | None,
    typer.Option("--from", help="First day; by default 13 days before the last.", metavar="DAY", show_default=False),
]
Last = Annotated[
    str | None,
    typer.Option("--to", help="Last day; by default the last of the logs.", metavar="DAY", show_default=False),
]


@in_group(GROUP)
def backfill(
    first: First = None,
    last: Last = None,
    profile: Profile = None,
    source: Source = None,
    data: Data = None,
    mapping: Mapping = None,
    out: Out = None,
) -> None:
    """Make a stretch of days, oldest first, as the daily schedule would have; type it again to resume.

    Models are trained once, on the first day, and only users whose context has changed are scored again. A day whose
    outcomes are all in the logs gets its report.

    [dim]Example:[/dim] adprior backfill --from 2026-04-20 --to 2026-05-03
    """
    with command(resumes=True, profile=profile, source=source, data=data, mapping=mapping, out=out):
        from orchestration.backfill_command import backfill_command

        backfill_command(as_day(first, "--from (FROM=...)"), as_day(last, "--to (TO=...)"))
