"""Commands that run the pipeline, or see whether it would."""

from __future__ import annotations

import sys

from orchestration.cli.command import AsOf, Data, Mapping, Out, Profile, Source, command, in_group

GROUP = "Run"


@in_group(GROUP)
def run(
    profile: Profile = None,
    source: Source = None,
    data: Data = None,
    mapping: Mapping = None,
    out: Out = None,
    as_of: AsOf = None,
) -> None:
    """Run the whole pipeline for one snapshot day; type it again to resume.

    Only what is not there yet, or out of date, is made. It ends with a table of results and says where the report lies.

    [dim]Example:[/dim] adprior run --profile tiny
    """
    with command(resumes=True, profile=profile, source=source, data=data, mapping=mapping, out=out, as_of=as_of):
        from orchestration.run_command import run_command

        run_command()


@in_group(GROUP)
def check(
    profile: Profile = None,
    source: Source = None,
    data: Data = None,
    mapping: Mapping = None,
    out: Out = None,
    as_of: AsOf = None,
) -> None:
    """Look at the logs and run nothing: every problem at once, each with its remedy, and what a run would see.

    Exit code 0: it may run. Exit code 1: it cannot, or an option is wrong. Nothing is written but a temporary
    directory that is removed.

    [dim]Example:[/dim] adprior check --source parquet --data logs --mapping mapping.yaml
    """
    with command(profile=profile, source=source, data=data, mapping=mapping, out=out, as_of=as_of):
        from orchestration.check_command import check_command

        if not check_command():
            sys.exit(1)
