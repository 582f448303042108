"""Which snapshot day the logs allow: the rule of a run, and the days that would do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from ml.errors import BadInput
from ml.timeline import Timeline, TimelineSettings, Window


@dataclass(frozen=True)
class SnapshotDay:
    """The snapshot day of a run.

    Attributes:
        as_of: the day.
        closed: are all its outcomes in the logs? Only then there is a report.
        earliest, newest_closed: first day with any training label; newest one that can have a report.
    """

    as_of: date
    closed: bool
    earliest: date
    newest_closed: date


def choose_day(days: Window, settings: TimelineSettings, as_of: date | None = None) -> SnapshotDay:
    """The snapshot day, `as_of` or the newest whose outcomes are all known.

    Args:
        days: that the logs cover.
        settings: lengths of the splits.
        as_of: the day asked for.

    Raises:
        BadInput: the logs do not reach back far enough, or the day is not in them.
    """
    newest = Timeline.newest_closed(days.last, settings).as_of
    earliest = Timeline.earliest(days.first, settings).as_of
    day, where = as_of or newest, "as_of (AS_OF=...)"
    if as_of is None and newest < earliest:
        raise _too_short(days, settings, earliest, newest)
    fits = f"choose a day in {Window(earliest, days.last)}; a report needs {newest} or earlier"
    if newest < earliest:
        fits = f"choose a day in {Window(earliest, days.last)}; no day can have a report yet"
    if day > days.last:
        raise BadInput(f"snapshot day {day} lies after the logs, which cover {days}", where=where, remedy=fits)
    if day < earliest:
        training = Timeline(day, settings).predictor_cutoff
        raise BadInput(
            f"snapshot day {day} is too early for the logs, which cover {days}: its training labels end on {training}",
            where=where,
            remedy=fits if earliest <= days.last else _too_short(days, settings, earliest, newest).remedy,
        )
    return SnapshotDay(day, day <= newest, earliest, newest)


def _too_short(days: Window, settings: TimelineSettings, earliest: date, newest: date) -> BadInput:
    short, have = (earliest - newest).days, len(days.days)
    lengths = (
        f"label_window_days {settings.label_window_days}, outcome_days {settings.outcome_days}, "
        f"ranker_days {settings.ranker_days}, calibration_days {settings.calibration_days}"
    )
    early = f", or set AS_OF to a day in {Window(earliest, days.last)} for predictions without a report"
    return BadInput(
        f"{have} days of logs are too few: the splits of the Timeline need {have + short}",
        where=f"days {days}; timeline: {lengths}",
        remedy=f"deliver {short} more days, or shorten timeline.* by as many"
        + (early if earliest <= days.last else ""),
    )
