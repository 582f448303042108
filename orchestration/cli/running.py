"""Commands that run the pipeline."""

from __future__ import annotations

from orchestration.cli.command import AsOf, Data, Mapping, Out, Profile, Source, app, command

GROUP = "Run"


@app.command(rich_help_panel=GROUP)
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
