"""What `adprior check` prints: tables of what was found, then warnings, then problems, then the verdict.

It fits 100 columns and folds on narrower terminals. It decides nothing: `ml.sources.check` has.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ml.sources.check import CheckReport
from ml.sources.contract import TABLES
from ml.sources.ingest import TableReport
from ml.sources.inspection.splits import Splits
from ml.sources.problem import Problem

BLOCKS = "▁▂▃▄▅▆▇█"


def print_report(console: Console, report: CheckReport) -> None:
    """Print all of it."""
    if report.window:
        _heading(console, f"Tables: {report.window}, {len(report.window.days):,} days")
        console.print(_tables(report, console.width))
    if report.users and report.users.users:
        _heading(console, "Users")
        users = report.users
        console.print(
            f"  {users.users:,} known, {users.consenting:,} consent ({_share(users.consenting, users.users)}), "
            f"{users.with_events:,} of these have any event"
        )
    if report.times and (report.times.hours or report.times.ranges):
        _heading(console, "Times and numbers")
        console.print(_hours(report))
        console.print(_ranges(report))
    if report.splits:
        _print_splits(console, report.splits, report)
    for note in report.notes:
        console.print(f"  [dim]note:[/dim] {note}", highlight=False)
    _print_problems(console, "Warnings", report.warnings, "yellow")
    _print_problems(console, "Problems", report.problems, "red")
    _print_verdict(console, report)


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]", highlight=False)


def _grid(*columns: tuple[str, str]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="dim")
    for name, justify in columns:
        numeric = justify == "right"
        table.add_column(name, justify="right" if numeric else "left", no_wrap=justify != "fold", overflow="fold")
    return table


def _tables(report: CheckReport, width: int) -> Table:
    """Rows, bad rows and volume by day of every table of the contract."""
    assert report.ingest is not None
    wide = width >= 90
    columns = [("table", "left"), ("rows", "right"), ("set aside", "right"), ("days", "right")]
    columns += [("a day", "right")] if wide else []
    grid = _grid(*columns, ("by day", "left"))
    buckets = max(8, min(32, width - (68 if wide else 50)))
    for name in TABLES:
        found = report.ingest.tables.get(name)
        if found is None or name in report.missing:
            state = Text("missing", "red") if name in report.missing else Text("not delivered", "dim")
            grid.add_row(name, "-", "-", "-", *(["-"] if wide else []), state)
            continue
        daily = [found.rows_by_day[day] + found.quarantined_by_day[day] for day in found.rows_by_day]
        unread = sum(1 for table, _ in report.unread if table == name)
        state = Text(_spark(_bucketed(daily, buckets)))
        if unread:
            state = Text.assemble(state, " ", (f"{unread} day(s) unread", "red"))
        cells = [f"{found.rows_in:,}", _aside(found), f"{sum(1 for n in daily if n):,}"]
        cells += [_a_day(daily, TABLES[name].kind)] if wide else []
        grid.add_row(name, *cells, state)
    return grid


def _aside(found: TableReport) -> Text:
    if not found.quarantined:
        return Text("0", "dim")
    return Text(f"{found.quarantined:,} ({_share(found.quarantined, found.rows_in)})", "yellow")


def _a_day(daily: Sequence[int], kind: str) -> str:
    """Smallest, median and largest day; of a register the newest says more."""
    if not any(daily):
        return "-"
    if kind == "register":
        return "-"
    return f"{min(daily):,} .. {median(daily):,.0f} .. {max(daily):,}"


def _bucketed(daily: Sequence[int], buckets: int) -> list[float]:
    """Mean rows a day of consecutive stretches of days, at most `buckets` of them."""
    size = -(-len(daily) // buckets)
    return [sum(daily[i : i + size]) / len(daily[i : i + size]) for i in range(0, len(daily), size)]


def _spark(values: Sequence[float]) -> str:
    """One block a value; a space where there is nothing at all."""
    top = max(values, default=0)
    if not top:
        return ""
    return "".join(" " if not v else BLOCKS[min(7, int(8 * v / top))] for v in values)


def _share(part: int, whole: int) -> str:
    if not whole:
        return "-"
    percent = 100 * part / whole
    return f"{percent:.1f} %" if percent >= 0.1 or not part else "<0.1 %"


def _hours(report: CheckReport) -> Table:
    assert report.times is not None
    grid = _grid(("events by hour, UTC", "left"), ("00    06    12    18   23", "left"), ("busiest", "left"))
    for name, counts in report.times.hours.items():
        grid.add_row(name, _spark(counts), f"{counts.index(max(counts)):02d} h")
    return grid


def _ranges(report: CheckReport) -> Table:
    assert report.times is not None
    grid = _grid(("column", "left"), ("lowest", "right"), ("median", "right"), ("highest", "right"), ("known", "right"))
    for found in report.times.ranges:
        values = (_number(v) for v in (found.low, found.median, found.high))
        grid.add_row(f"{found.table}.{found.column}", *values, f"{100 * found.known:.0f} %")
    return grid


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _print_splits(console: Console, splits: Splits, report: CheckReport) -> None:
    training, test, day = splits.training, splits.test, report.day
    assert day is not None
    _heading(console, f"Snapshot day {day.as_of}: who is in which split")
    if not day.closed:
        console.print("  Its outcomes are not all in the logs yet: predictions and candidates, but no report.")
    grid = _grid(("split", "left"), ("days (UTC)", "left"), ("users", "right"), ("what they bring", "fold"))
    grid.add_row(
        "predictor training",
        f"..{training.cutoff}",
        f"{training.users_with_target:,}",
        f"{training.targets:,} conversions to learn from, with {training.advertisers_with_target:,} advertisers",
    )
    upto = "" if splits.has_impressions else "up to "
    what = "impressions" if splits.has_impressions else "sampled rows"
    for split in splits.ranker:
        brings = f"{upto}{split.rows:,} {what}, {split.positives:,} converted"
        grid.add_row(split.name, str(split.window), f"{split.users:,}", brings)
    sampled = f", a sample of {test.eligible_users:,}" if test.scored_users < test.eligible_users else ""
    grid.add_row("scored", str(day.as_of), f"{test.scored_users:,}", f"{test.active_users:,} active{sampled}")
    if test.expected is not None and test.minimum_effect:
        brings = f"labels; differences of {100 * test.minimum_effect:.1f} points of recall@10 would show"
        grid.add_row("test", str(test.window), f"{test.expected:,}", brings)
    console.print(grid)
    console.print(
        f"  catalogue: {test.catalogue:,} advertisers; days that can be chosen: "
        f"{day.earliest}..{day.newest_closed} with a report, later ones without",
        highlight=False,
    )


def _print_problems(console: Console, title: str, problems: Sequence[Problem], style: str) -> None:
    if not problems:
        return
    _heading(console, f"[{style}]{title} ({len(problems)})[/{style}]")
    for number, problem in enumerate(problems, start=1):
        console.print(Padding(_problem(problem, number, style), (0, 0, 1 if number < len(problems) else 0, 2)))


def _problem(problem: Problem, number: int, style: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, justify="right", min_width=7)
    grid.add_column(overflow="fold")
    grid.add_row(Text(f"{number}", f"bold {style}"), Text(problem.what, "bold"))
    parts = (("where", problem.where), ("column", problem.column), ("example", problem.example))
    for name, value in (*parts, ("remedy", problem.remedy)):
        if value:
            grid.add_row(name, escape(value))
    return grid


def _print_verdict(console: Console, report: CheckReport) -> None:
    warned = f", {len(report.warnings)} warning(s)" if report.warnings else ""
    if report.may_run:
        console.print(f"\n[bold green]✓ It may run[/bold green]{warned}. Next: the same with [bold]make run[/bold].")
    else:
        n = len(report.problems)
        console.print(f"\n[bold red]✗ It cannot run: {n} problem(s)[/bold red]{warned}. Mend them, then check again.")
