"""`adprior backfill`: a stretch of days one after another, as the daily schedule would have made them.

Models are trained on the first day, if there is no version that it can use, and serve the later ones. A day whose
outcomes are all in the logs gets its report as well. Killed, it goes on where it was.
"""

from __future__ import annotations

from datetime import date, timedelta

from ml.errors import BadInput
from ml.timeline import Timeline, Window
from orchestration.last_run import there
from orchestration.run_command import session
from orchestration.workspace import Workspace

DAYS = 14
"""Days of a backfill that names no first day."""


def backfill_command(first: date | None, last: date | None) -> None:
    """Materialize `first`..`last`; without dates the newest 14 days of the logs.

    Raises:
        BadInput: the days do not fit the logs.
        RunStopped: a day failed; later days were not begun.
    """
    with session("adprior backfill") as (workspace, instance, console):
        from orchestration.definitions import defs
        from orchestration.graph import AFTER_CLOSE, NODES
        from orchestration.runner import close_abandoned_runs, ingest_unfinished, make_unfinished

        close_abandoned_runs(instance)
        logs = workspace.source.window()
        days = choose_days(workspace, logs, first, last)
        newest = Timeline.newest_closed(logs.last, workspace.settings.timeline).as_of
        needed = min(logs.last, workspace.timeline(days.last).test_closes)
        ingest_unfinished(workspace, defs, instance, Window(logs.first, needed))
        for number, day in enumerate(days.days, start=1):
            console.print(f"\n[bold]{day}[/bold]  day {number} of {len(days.days)}")
            wanted = [name for name in NODES if day <= newest or name not in AFTER_CLOSE]
            make_unfinished(workspace, defs, instance, day, wanted)
    console.print(
        f"\n{len(days.days)} days are there: {days}. Next: [bold]make ui{there(workspace.settings)}[/bold].",
        soft_wrap=True,
    )


def choose_days(workspace: Workspace, logs: Window, first: date | None, last: date | None) -> Window:
    """The days to make.

    Raises:
        BadInput: they do not fit the logs.
    """
    fitting = Window(Timeline.earliest(logs.first, workspace.settings.timeline).as_of, logs.last)
    last = last or logs.last
    first = first or max(last - timedelta(days=DAYS - 1), fitting.first)
    if first not in fitting or last not in fitting or first > last:
        raise BadInput(
            f"days {first}..{last} cannot be made from logs of {logs}",
            where="--from, --to (FROM=..., TO=...)",
            remedy=f"choose days within {fitting}, the first not after the last",
        )
    return Window(first, last)
