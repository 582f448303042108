"""Commands that show what was made. They open what the options name, else what the last run made."""

from __future__ import annotations

from orchestration.cli.command import Data, Mapping, Out, Profile, Source, app, command

GROUP = "Look at what was made"


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
