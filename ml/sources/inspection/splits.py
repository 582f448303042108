"""How many users and rows each split of the Timeline would have, and what so many can show.

The counts are made by the SQL of the pipeline itself (`ml.contexts`, `ml.ranking`, `ml.predictors.catalogue`), as
counts: nothing is rendered, nothing of a user leaves the database.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import duckdb

from ml.contexts.build import MEMBERS, STREAM
from ml.contexts.labels import test_labels
from ml.contexts.settings import ContextSettings
from ml.evaluation.bootstrap import DETECTABLE
from ml.lake import Lake
from ml.predictors.catalogue import build_catalogue
from ml.ranking.impressions import SHOWN
from ml.ranking.negatives import BOUGHT
from ml.ranking.registers import create_versions
from ml.ranking.targets import AttributionSettings
from ml.timeline import Timeline, Window, end_of

DEVIATION = 0.5
"""Standard deviation over users of a paired difference of two sources' recall@10: .50 in docs/results/first-run-world,
.33 in first-run-purchases (minimum_effect / 2.80 * sqrt(test users)); the larger one is assumed."""


@dataclass(frozen=True)
class Training:
    """What the predictors would learn from, at the predictor cutoff."""

    cutoff: date
    users: int
    """Consenting users with any event."""
    users_with_target: int
    targets: int
    """Conversions with an advertiser of the catalogue."""
    advertisers_with_target: int
    catalogue: int
    events: int


@dataclass(frozen=True)
class RankerSplit:
    """Rows of the ranker in one window, before users are sampled."""

    name: str
    window: Window
    users: int
    rows: int
    positives: int


@dataclass(frozen=True)
class Test:
    """Who would be scored and tested at the snapshot day; labels are None while outcomes are open."""

    window: Window
    active_users: int
    eligible_users: int
    """Active users with enough known conversions."""
    scored_users: int
    """Those of them that `predictions.max_users` leaves."""
    labelled_users: int | None
    """Consenting users who convert in the window."""
    eligible_labelled: int | None
    """Of these, the active ones with enough conversions."""
    expected: int | None
    """Of these, how many a sample of `scored_users` is expected to hold."""
    catalogue: int
    events: int

    @property
    def minimum_effect(self) -> float | None:
        """Smallest difference of recall@10 that so many users show with 80 % power (normal approximation)."""
        return DETECTABLE * DEVIATION / math.sqrt(self.expected) if self.expected else None


@dataclass(frozen=True)
class Splits:
    """All splits of one Timeline, and whether the ranker has impressions to learn from."""

    timeline: Timeline
    training: Training
    ranker: list[RankerSplit]
    test: Test
    has_impressions: bool


@dataclass(frozen=True)
class SplitSettings:
    """What of the settings decides who is in a split."""

    contexts: ContextSettings
    min_users: int
    min_conversions: int
    max_users: int | None
    negatives: int
    attribution: AttributionSettings = field(default_factory=AttributionSettings)


def count_splits(lake: Lake, timeline: Timeline, settings: SplitSettings, *, closed: bool) -> Splits:
    """Count every split of `timeline`.

    Args:
        lake: good rows.
        timeline: of the snapshot day.
        settings: who counts.
        closed: are the outcomes of the test window all known?
    """
    ranker, has_impressions = _ranker(lake, timeline, settings)
    training = _training(lake, timeline, settings)
    return Splits(timeline, training, ranker, _test(lake, timeline, settings, closed=closed), has_impressions)


def _training(lake: Lake, timeline: Timeline, settings: SplitSettings) -> Training:
    cutoff = timeline.predictor_cutoff
    with lake.connect(as_of=cutoff) as con:
        _streams(con, datetime.combine(date.min, time()))
        con.register("catalogue", build_catalogue(con, cutoff, min_users=settings.min_users))
        users, events = con.execute("SELECT (SELECT count(*) FROM members), (SELECT count(*) FROM stream)").fetchall()[
            0
        ]
        targets, with_target, advertisers = con.execute(
            """SELECT count(*), count(DISTINCT user_id), count(DISTINCT advertiser_id) FROM stream
               SEMI JOIN members USING (user_id) SEMI JOIN catalogue USING (advertiser_id) WHERE kind = 'conversion'"""
        ).fetchall()[0]
        catalogue = con.execute("SELECT count(*) FROM catalogue").fetchall()[0][0]
    return Training(cutoff, users, with_target, targets, advertisers, catalogue, events)


def _streams(con: duckdb.DuckDBPyConnection, since: datetime) -> None:
    con.execute(STREAM)
    con.execute(MEMBERS, {"since": since})


def _ranker(lake: Lake, timeline: Timeline, settings: SplitSettings) -> tuple[list[RankerSplit], bool]:
    found = []
    with lake.connect(as_of=timeline.as_of) as con:
        has_impressions = bool(con.execute("SELECT EXISTS (SELECT 1 FROM impressions)").fetchall()[0][0])
        con.execute("CREATE TEMP TABLE allowed AS SELECT user_id FROM users WHERE consent")
        if not has_impressions:
            create_versions(con, lake)
        for name, window in (("ranker training", timeline.ranker), ("calibration", timeline.calibration)):
            limits = {"first": window.first, "last": window.last, "outcome": timeline.settings.outcome_days}
            if has_impressions:
                counted = f"SELECT count(*), count(DISTINCT user_id), coalesce(sum(label), 0)::BIGINT FROM ({SHOWN})"
                limits |= settings.attribution.windows
            else:
                counted = (
                    f"SELECT count(*) * {1 + settings.negatives}, count(DISTINCT user_id), count(*) FROM ({BOUGHT})"
                )
            rows, users, positives = con.execute(counted, limits).fetchall()[0]
            found.append(RankerSplit(name, window, users, rows, positives))
    return found, has_impressions


def _test(lake: Lake, timeline: Timeline, settings: SplitSettings, *, closed: bool) -> Test:
    day = timeline.as_of
    with lake.connect(as_of=day) as con:
        _streams(con, end_of(day) - timedelta(days=settings.contexts.active_days))
        con.execute(
            """CREATE TEMP TABLE eligible AS SELECT user_id FROM stream SEMI JOIN members USING (user_id)
               GROUP BY user_id HAVING count(*) FILTER (kind = 'conversion') >= $least""",
            {"least": settings.min_conversions},
        )
        active, eligible, events = con.execute(
            """SELECT (SELECT count(*) FROM members), (SELECT count(*) FROM eligible),
                      (SELECT count(*) FROM stream SEMI JOIN members USING (user_id))"""
        ).fetchall()[0]
        catalogue = len(build_catalogue(con, day, min_users=settings.min_users))
        scored = min(eligible, settings.max_users or eligible)
        labelled = usable = expected = None
        if closed:
            labels = test_labels(lake, timeline)
            con.register("labels", labels)
            labelled = len(labels)
            usable = con.execute("SELECT count(*) FROM labels SEMI JOIN eligible USING (user_id)").fetchall()[0][0]
            expected = round(usable * scored / eligible) if eligible else 0
    return Test(timeline.test, active, eligible, scored, labelled, usable, expected, catalogue, events)
