"""What `adprior check` prints: what was found, then warnings, then problems, then the verdict.

Made for 100 columns; it leaves columns out and folds where there are fewer. It decides nothing: `ml.sources.check` has.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ml.sources.check import CheckReport
from ml.sources.contract import TABLES
from ml.sources.ingest import TableReport
from ml.sources.inspection.estimate import Estimate
from ml.sources.inspection.splits import Splits
from ml.sources.problem import Problem

BLOCKS = "▁▂▃▄▅▆▇█"
WIDE = 92
"""Columns from which all of a table fits."""


def print_report(console: Console, report: CheckReport, estimate: Estimate | None) -> None:
    """Print all of it."""
    if report.window and report.ingest:
        _heading(console, f"Tables, {report.window}: {len(report.window.days):,} days")
        console.print(_tables(report, console.width))
    if report.users and report.users.users:
        users = report.users
        consenting = f"{users.consenting:,} consent ({_share(users.consenting, users.users)})"
        _say(console, f"{users.users:,} users, {consenting}, {users.with_events:,} of these have any event")
    if report.times and report.times.hours:
        _heading(console, "Events by hour of the day, UTC")
        console.print(_hours(report))
    if report.times and report.times.ranges:
        _heading(console, "Numbers: are these the right units?")
        console.print(_ranges(report, console.width))
    if report.splits:
        _print_splits(console, report.splits, report)
    if estimate:
        _print_estimate(console, estimate)
    if report.notes:
        _heading(console, "Good to know")
        for note in report.notes:
            _say(console, note)
    _print_problems(console, "Warnings", report.warnings, "yellow")
    _print_problems(console, "Problems", report.problems, "red")
    _print_verdict(console, report)


def _heading(console: Console, text: str, style: str = "") -> None:
    console.print(Text(f"\n{text}", f"bold {style}".strip()))


def _say(console: Console, text: str) -> None:
    console.print(Padding(Text(text), (0, 0, 0, 2)))


def _grid(*columns: str, right: Sequence[str] = (), fold: Sequence[str] = ()) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 1), header_style="dim")
    for name in columns:
        justify = "right" if name in right else "left"
        table.add_column(name, justify=justify, no_wrap=name not in fold, overflow="fold")
    return table


def _tables(report: CheckReport, width: int) -> Table:
    """Rows, bad rows and volume by day of every table of the contract."""
    assert report.ingest is not None
    wide = width >= WIDE
    columns = ["table", "rows", "set aside", *(["days", "rows a day"] if wide else []), "from first to last day"]
    grid = _grid(*columns, right=columns[1:-1], fold=columns[-1:])
    buckets = max(8, min(30, width - (70 if wide else 44)))
    for name in TABLES:
        found = report.ingest.tables.get(name)
        if found is None or name in report.missing:
            state = Text("missing", "bold red") if name in report.missing else Text("not delivered", "dim")
            grid.add_row(name, *["-"] * (len(columns) - 2), state)
            continue
        daily = _daily(found, report.backlog_day)
        cells = [f"{sum(map(bool, daily.values())):,}", _a_day(daily, name)] if wide else []
        state = _over_time(daily, name, buckets)
        if unread := sum(1 for table, _ in report.unread if table == name):
            state.append(f"  {unread} not read", "bold red")
        grid.add_row(name, f"{found.rows_in:,}", _aside(found), *cells, state)
    return grid


def _daily(found: TableReport, backlog_day: date | None) -> dict[date, int]:
    """Rows delivered by day; the day that holds the whole history from before it would dwarf the others."""
    rows = {day: found.rows_by_day[day] + found.quarantined_by_day[day] for day in found.rows_by_day}
    return {day: n for day, n in rows.items() if day != backlog_day or len(rows) == 1}


def _aside(found: TableReport) -> Text:
    if not found.quarantined:
        return Text("0", "dim")
    return Text(f"{found.quarantined:,} ({_share(found.quarantined, found.rows_in)})", "yellow")


def _a_day(daily: dict[date, int], name: str) -> str:
    """Smallest, median and largest day of a log."""
    if TABLES[name].kind == "register" or not any(daily.values()):
        return "-"
    rows = daily.values()
    return f"{min(rows):,} / {median(rows):,.0f} / {max(rows):,}"


def _over_time(daily: dict[date, int], name: str, buckets: int) -> Text:
    """The volume of a log as blocks; of a register, its newest change."""
    filled = [day for day, rows in daily.items() if rows]
    if TABLES[name].kind == "register":
        return Text(f"newest {max(filled)}" if filled else "-", "dim")
    return Text(_blocks(_bucketed(list(daily.values()), buckets)))


def _bucketed(daily: Sequence[int], buckets: int) -> list[float]:
    """Mean rows a day of consecutive stretches of days, at most `buckets` of them."""
    size = -(-len(daily) // buckets)
    return [sum(daily[i : i + size]) / len(daily[i : i + size]) for i in range(0, len(daily), size)]


def _blocks(values: Sequence[float]) -> str:
    """One block a value; a blank where there is nothing at all."""
    top = max(values, default=0)
    return "".join(" " if not v else BLOCKS[min(7, int(8 * v / top))] for v in values)


def _share(part: int, whole: int) -> str:
    percent = 100 * part / max(whole, 1)
    return f"{percent:.1f} %" if percent >= 0.1 or not part else "<0.1 %"


def _hours(report: CheckReport) -> Table:
    assert report.times is not None
    grid = _grid("log", "0     6     12    18   23", "busiest")
    for name, counts in report.times.hours.items():
        grid.add_row(name, _blocks(counts), f"{counts.index(max(counts))} h")
    return grid


def _ranges(report: CheckReport, width: int) -> Table:
    assert report.times is not None
    numbers = ["lowest", "median", "highest", *(["known in"] if width >= WIDE else [])]
    grid = _grid("column", *numbers, right=numbers)
    for found in report.times.ranges:
        values = [_number(v) for v in (found.low, found.median, found.high)]
        known = [f"{100 * found.known:.0f} % of rows"] if width >= WIDE else []
        grid.add_row(f"{found.table}.{found.column}", *values, *known)
    return grid


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _print_splits(console: Console, splits: Splits, report: CheckReport) -> None:
    day, wide = report.day, console.width >= WIDE
    assert day is not None
    _heading(console, f"Snapshot day {day.as_of}: who is in which split")
    columns = ["split", *(["days"] if wide else []), "users", "what they bring"]
    grid = _grid(*columns, right=["users"], fold=["split", "what they bring"])
    for name, days, users, brings in _split_rows(splits):
        first = [name, days] if wide else [f"{name}\n{days.replace('..', '..' + chr(10))}"]
        grid.add_row(*first, f"{users:,}", brings)
    console.print(grid)
    if not day.closed:
        _say(console, f"Outcomes of {day.as_of} are not all known yet: predictions and candidates, but no report.")
    allowed = f"{day.earliest}..{day.newest_closed}" if day.earliest <= day.newest_closed else "none"
    known = f"; outcomes of later days are not all known by {report.window.last}" if report.window else ""
    _say(console, f"{splits.test.catalogue:,} advertisers in the catalogue. Days with a report: {allowed}{known}.")


def _split_rows(splits: Splits) -> list[tuple[str, str, int, str]]:
    training, test = splits.training, splits.test
    advertisers = f"{training.targets:,} conversions with {training.advertisers_with_target:,} advertisers"
    rows = [("predictor training", f"until {training.cutoff}", training.users_with_target, advertisers)]
    for split in splits.ranker:
        shown = "impressions" if splits.has_impressions else "rows at most, negatives sampled"
        rows.append(
            (split.name, str(split.window), split.users, f"{split.positives:,} converted, {split.rows:,} {shown}")
        )
    sampled = f", {test.eligible_users:,} with enough history" if test.scored_users < test.active_users else ""
    rows.append(
        ("scored", f"on {splits.timeline.as_of}", test.scored_users, f"of {test.active_users:,} active{sampled}")
    )
    if test.expected and test.minimum_effect:
        effect = f"recall@10: differences from {100 * test.minimum_effect:.1f} points up would show"
        rows.append(("test", str(test.window), test.expected, effect))
    return rows


def _print_estimate(console: Console, estimate: Estimate) -> None:
    _heading(console, "Expected time of a first run")
    if estimate.low is None or estimate.high is None:
        _say(console, f"Not known: {estimate.basis}.")
        return
    longest = sorted(estimate.by_stage, key=lambda stage: -estimate.by_stage[stage])[:2]
    parts = ", ".join(f"{stage} {_clock(estimate.by_stage[stage])}" for stage in longest)
    low, high = _clock(estimate.low), _clock(estimate.high)
    _say(console, f"{low} to {high}" if low != high else f"about {high}")
    _say(console, f"Most of it: {parts} at the slow end. From {estimate.basis}.")


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _print_problems(console: Console, title: str, problems: Sequence[Problem], style: str) -> None:
    if not problems:
        return
    _heading(console, f"{title} ({len(problems)})", style)
    for number, problem in enumerate(problems, start=1):
        below = 1 if number < len(problems) else 0
        console.print(Padding(_problem(problem, number, style), (0, 0, below, 0)))


def _problem(problem: Problem, number: int, style: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, justify="right", min_width=9)
    grid.add_column(overflow="fold")
    grid.add_row(Text(f"{number}", f"bold {style}"), Text(problem.what, "bold"))
    parts = (("where", problem.where), ("column", problem.column), ("example", problem.example))
    for name, value in (*parts, ("remedy", problem.remedy)):
        if value:
            grid.add_row(name, Text(value))
    return grid


def _print_verdict(console: Console, report: CheckReport) -> None:
    n, warned = len(report.problems), len(report.warnings)
    aside = f"; {warned} warning{'s' if warned > 1 else ''}" if warned else ""
    if report.may_run:
        console.print(f"\n[bold green]✓ It may run[/bold green]{aside}. Next: the same arguments with make run.")
    else:
        said = f"{n} problem{'s' if n > 1 else ''}"
        console.print(f"\n[bold red]✗ It cannot run: {said}[/bold red]{aside}. Mend, then check again.")
