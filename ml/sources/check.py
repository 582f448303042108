"""Check: a dry run over raw logs that finds everything wrong with them at once, and what a run on them would see.

The logs go through the pipeline's own ingest into a lake that is thrown away, a few days at a time; what would
stop a run becomes a Problem, what would not a warning. No model, no Dagster, nothing is kept. It does not know how
its findings are shown (`orchestration.check_command` prints them) nor where the settings come from.

    with TemporaryDirectory() as scratch:
        report = check(source, CheckPlan(timeline, splits, limits), Path(scratch))
        report.may_run, report.problems, report.warnings
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from ml.errors import BadInput
from ml.lake import Lake
from ml.progress import Progress, silent
from ml.snapshot_day import SnapshotDay, choose_day
from ml.sources.base import LogSource
from ml.sources.contract import TABLES
from ml.sources.ingest import HasBacklog, IngestReport, ingest
from ml.sources.inspection.judge import row_findings, split_findings, user_findings
from ml.sources.inspection.rows import RowFault, row_faults
from ml.sources.inspection.splits import Splits, SplitSettings, count_splits
from ml.sources.inspection.times import TimeFacts, look_at_times
from ml.sources.inspection.tolerant import TolerantSource, gathered
from ml.sources.inspection.users import UserFacts, look_at_users
from ml.sources.inspection.volumes import VolumeLimits, volume_problems
from ml.sources.problem import Problem
from ml.timeline import Timeline, TimelineSettings, Window


@dataclass(frozen=True)
class CheckPlan:
    """What of the settings decides whether these logs may run."""

    timeline: TimelineSettings
    splits: SplitSettings
    limits: VolumeLimits
    as_of: date | None = None
    """Snapshot day; null takes the newest whose outcomes are all known."""
    first_day: date | None = None
    """First day that a run would ingest, if not the source's own."""
    today: date | None = None
    """The day on which the check is made: nothing can have happened later. Null for a simulated source."""
    days_only: bool = False
    """The source knows days, not moments."""
    top_k: int = 50
    min_advertisers_with_targets: int = 5


@dataclass
class CheckReport:
    """What was found. Parts that could not be looked at are None, and a problem says why.

    Attributes:
        source: its name.
        problems: what would stop a run; `warnings` what would not; `notes` what to know.
        window: days looked at; `backlog_day` the one that holds the history from before it, if the source has one.
        ingest: rows and bad rows by table and day.
        faults: the bad rows by reason.
        unread: (table, day) that could not be read.
        missing: required tables that are not there.
        users, times: consent, and what times and numbers look like.
        day: the snapshot day and which days would do.
        splits: users and rows of every split at that day.
    """

    source: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    window: Window | None = None
    backlog_day: date | None = None
    ingest: IngestReport | None = None
    faults: list[RowFault] = field(default_factory=list)
    unread: set[tuple[str, date]] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    users: UserFacts | None = None
    times: TimeFacts | None = None
    day: SnapshotDay | None = None
    splits: Splits | None = None

    @property
    def may_run(self) -> bool:
        return not self.problems


def check(source: LogSource, plan: CheckPlan, scratch: Path, progress: Progress = silent) -> CheckReport:
    """Look at all there is.

    Args:
        source: the logs.
        plan: the settings that matter.
        scratch: an empty directory for what is thrown away; about as large as the logs.
        progress: told the days read.
    """
    report = CheckReport(source.name)
    try:
        tolerant = TolerantSource(source)
        window = _window(tolerant, plan, report)
    except BadInput as error:
        report.problems += gathered(_problems_of(source, error))
        return report
    report.window = window
    report.backlog_day = source.backlog_day if isinstance(source, HasBacklog) else None
    lake, quarantine = Lake(scratch / "lake"), scratch / "quarantine"
    try:
        report.ingest = ingest(tolerant, window, lake, quarantine, sparse=True, progress=progress)
    except BadInput as error:  # the storage no longer answers
        report.problems += gathered([*tolerant.problems, Problem.of(error)])
        return report
    report.unread, report.missing = tolerant.unread, tolerant.missing
    report.problems += [_no_table(name, source.name) for name in tolerant.missing]
    report.problems += gathered(tolerant.problems)
    _judge(report, plan, lake, quarantine, tolerant.unsound())
    return report


def _judge(report: CheckReport, plan: CheckPlan, lake: Lake, quarantine: Path, unsound: set[str]) -> None:
    """Everything that the good and the bad rows show."""
    assert report.ingest is not None and report.window is not None
    problems, warnings = volume_problems(report.ingest, plan.limits, report.unread)
    with lake.connect() as con:
        report.faults = row_faults(con, report.ingest.tables, lake, quarantine, unsound)
        found = row_findings(report.faults, plan.limits.max_quarantined_share)
        problems, warnings = problems + found[0], warnings + found[1]
        report.times = look_at_times(con, outcome_days=plan.timeline.outcome_days, days_only=plan.days_only)
        report.users = look_at_users(con)
    warnings += report.times.warnings
    if not unsound & {"users"}:
        problems += user_findings(report.users, report.ingest)
    try:
        report.day = choose_day(report.window, plan.timeline, plan.as_of)
    except BadInput as error:
        problems.append(Problem.of(error, column="date", example=f"the logs cover {report.window}"))
    if report.day and not unsound and report.users.consenting:
        timeline = Timeline(report.day.as_of, plan.timeline)
        report.splits = count_splits(lake, timeline, plan.splits, closed=report.day.closed)
        found = split_findings(report.splits, plan.top_k, plan.min_advertisers_with_targets)
        problems, warnings = problems + found[0], warnings + found[1]
    elif unsound:
        report.notes.append(f"Splits are counted once {', '.join(sorted(unsound))} can be read whole.")
    report.problems += problems
    report.warnings += warnings
    report.notes += _notes(report)


def _window(source: TolerantSource, plan: CheckPlan, report: CheckReport) -> Window:
    """The days that a run would ingest, none of them in the future."""
    window = source.window()
    first = max(window.first, plan.first_day or window.first)
    if window.first < first:
        report.warnings.append(
            Problem(
                f"days before first_day {first} are not read",
                where=f"days {Window(window.first, first - timedelta(days=1))}",
                remedy="set an earlier first_day if they are wanted",
                column="date",
                example=f"date={window.first}",
            )
        )
    last = window.last
    if plan.today and last > plan.today:
        report.problems.append(
            Problem(
                f"the logs reach into the future: today is {plan.today} (UTC)",
                where=f"days {Window(max(first, plan.today + timedelta(days=1)), last)}",
                remedy="correct the times (milliseconds read as seconds, day and month exchanged, local time), "
                "and file the rows under their day",
                column="date",
                example=f"date={last}",
            )
        )
        last = max(plan.today, first)
    return Window(first, last)


def _problems_of(source: LogSource, error: BadInput) -> list[Problem]:
    """Everything the source knows of itself; the error that stopped it if that is not among it."""
    known: list[Problem] = []
    try:
        known = TolerantSource(source).problems
        source.window()  # without its missing files it may have stopped at something else, which they explain
    except BadInput as cause:
        error = cause if known else error
    stopped = Problem.of(error)
    return known if any((p.what, p.where) == (stopped.what, stopped.where) for p in known) else [*known, stopped]


def _no_table(name: str, source: str) -> Problem:
    table = TABLES[name]
    return Problem(
        f"no table {name!r}",
        where=f"source {source}",
        remedy=f"deliver {name}: {table.description}",
        column=", ".join(table.required),
        example=f"{name}/date=YYYY-MM-DD/part-0.parquet",
    )


def _notes(report: CheckReport) -> list[str]:
    notes = []
    ingested = report.ingest
    assert ingested is not None
    rows = {name: ingested.tables[name].rows_in if name in ingested.tables else 0 for name in TABLES}
    if report.splits and not report.splits.has_impressions:
        notes.append(
            "No impressions: the ranker trains and is tested on sampled negatives, and calibration figures read n/a."
        )
    elif rows["impressions"] and not rows["clicks"]:
        notes.append("No clicks: conversions are the only label, nothing else changes.")
    if not rows["activity"]:
        notes.append("No activity: contexts hold conversions alone, so the LLM reads no intent.")
    unjudged = sum(fault.of_unread for fault in report.faults)
    if unjudged:
        notes.append(f"{unjudged:,} rows point to rows that could not be read; they are judged once those can be.")
    return notes
