"""Every rule of the Timeline, drawn, and broken on purpose."""

from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.errors import TimelineViolation
from ml.timeline import Timeline, TimelineSettings, Window, end_of

TIMELINES = st.builds(
    Timeline,
    st.dates(date(2000, 1, 1), date(2030, 1, 1)),
    st.builds(
        TimelineSettings,
        label_window_days=st.integers(1, 100),
        outcome_days=st.integers(0, 30),
        ranker_days=st.integers(1, 80),
        calibration_days=st.integers(1, 30),
        snapshot_every_days=st.integers(1, 100),
    ),
)
ONE_DAY = timedelta(days=1)


def d(n: int) -> date:
    """Day n of the small world."""
    return date(2024, 1, 1) + timedelta(days=n - 1)


SMALL = Timeline(d(52), TimelineSettings())


def test_the_small_world_is_the_drawing():
    assert SMALL.predictor_cutoff == d(31)
    assert SMALL.ranker == Window(d(32), d(41))
    assert SMALL.calibration == Window(d(42), d(45))
    assert SMALL.test == Window(d(53), d(59))
    assert SMALL.test_closes == d(66)
    assert SMALL.past_snapshots == [d(31), d(38)]
    assert [SMALL.snapshot_before(d(n)) for n in (32, 38, 39, 45, 53)] == [d(31), d(31), d(38), d(38), d(52)]


def test_purchases_have_no_reporting_delay():
    timeline = Timeline(
        date(2014, 4, 23),
        TimelineSettings(
            label_window_days=91, outcome_days=0, ranker_days=68, calibration_days=23, snapshot_every_days=91
        ),
    )
    assert timeline.predictor_cutoff == date(2014, 1, 22)
    assert timeline.ranker == Window(date(2014, 1, 23), date(2014, 3, 31))
    assert timeline.calibration == Window(date(2014, 4, 1), date(2014, 4, 23))
    assert timeline.test == Window(date(2014, 4, 24), date(2014, 7, 23))
    assert timeline.test_closes == date(2014, 7, 23)
    assert timeline.past_snapshots == [date(2014, 1, 22)]


@given(TIMELINES)
@settings(max_examples=100)
def test_the_slices_follow_each_other_without_gap_or_overlap(timeline):
    s = timeline.settings
    assert timeline.predictor_cutoff + ONE_DAY == timeline.ranker.first
    assert timeline.ranker.last + ONE_DAY == timeline.calibration.first
    assert timeline.calibration.last + timedelta(days=s.outcome_days) == timeline.as_of
    assert timeline.as_of + ONE_DAY == timeline.test.first
    assert len(timeline.ranker.days) == s.ranker_days
    assert len(timeline.calibration.days) == s.calibration_days
    assert len(timeline.test.days) == s.label_window_days
    assert timeline.test_closes == timeline.test.last + timedelta(days=s.outcome_days)


@given(TIMELINES)
@settings(max_examples=100)
def test_a_prior_and_a_ranker_label_never_overlap(timeline):
    for day in [*timeline.ranker.days, *timeline.calibration.days]:
        snapshot = timeline.snapshot_before(day)
        assert timeline.predictor_cutoff <= snapshot < day  # the model's labels, then the prior, then the impression
        assert (day - snapshot).days <= timeline.settings.snapshot_every_days  # and it is the last one before
        assert day + timedelta(days=timeline.settings.outcome_days) <= timeline.as_of  # whose outcome closes in time
    assert all(timeline.snapshot_before(day) == timeline.as_of for day in timeline.test.days)


@given(TIMELINES)
def test_snapshots_ascend_from_the_cutoff_and_each_serves_a_day(timeline):
    snapshots = timeline.past_snapshots
    assert snapshots[0] == timeline.predictor_cutoff
    assert snapshots == sorted(set(snapshots))
    assert all(s + ONE_DAY <= timeline.calibration.last for s in snapshots)


@given(TIMELINES)
def test_the_newest_closed_day_closes_on_the_last_day(timeline):
    newest = Timeline.newest_closed(timeline.as_of, timeline.settings)
    assert newest.test_closes == timeline.as_of


def test_no_prior_before_the_first_snapshot():
    with pytest.raises(TimelineViolation, match="no snapshot before"):
        SMALL.snapshot_before(d(31))


def test_a_day_ends_where_the_next_begins():
    assert end_of(date(2024, 2, 29)) == datetime(2024, 3, 1)


@pytest.mark.parametrize("field", ["label_window_days", "ranker_days", "calibration_days", "snapshot_every_days"])
def test_a_slice_of_no_days_is_refused(field):
    with pytest.raises(ValidationError, match=field):
        TimelineSettings(**{field: 0})


def targets(**changed: Any) -> pd.DataFrame:
    good = {
        "known_at": end_of(d(31)) - timedelta(microseconds=1),
        "event_time": datetime(2024, 1, 25, 12),
        "visible_until": datetime(2024, 1, 24, 23),
    }
    return pd.DataFrame([good, {**good, "visible_until": pd.NaT}, {**good, **changed}])


def test_sound_training_targets_pass():
    SMALL.check_training_targets(targets())


@pytest.mark.parametrize(
    "changed",
    [
        {"known_at": end_of(d(31))},
        {"known_at": end_of(d(40))},
        {"visible_until": datetime(2024, 1, 25, 12)},
        {"visible_until": datetime(2024, 1, 26)},
        {"known_at": pd.NaT},
        {"event_time": pd.NaT},
    ],
)
def test_unsound_training_targets_raise(changed):
    with pytest.raises(TimelineViolation, match="1 of 3 rows"):
        SMALL.check_training_targets(targets(**changed))


def test_contexts_end_with_as_of():
    last = end_of(d(52)) - timedelta(microseconds=1)
    SMALL.check_contexts(pd.DataFrame({"time": [last]}))
    with pytest.raises(TimelineViolation, match="event known after"):
        SMALL.check_contexts(pd.DataFrame({"time": [last, end_of(d(52))]}))
    with pytest.raises(TimelineViolation, match="event without a time"):
        SMALL.check_contexts(pd.DataFrame({"time": [last, pd.NaT]}))


def ranker_rows(**changed: Any) -> pd.DataFrame:
    train = {"day": d(33), "split": "train", "label_closes": d(40), "prior_day": d(31)}
    calibration = {"day": d(45), "split": "calibration", "label_closes": d(52), "prior_day": d(38)}
    return pd.DataFrame([train, calibration, {**train, "prior_day": None}, {**train, **changed}])


def test_sound_ranker_rows_pass():
    SMALL.check_ranker_rows(ranker_rows(), model_known_until=d(31))


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"day": d(31), "prior_day": None}, "train impression outside"),
        ({"day": d(42)}, "train impression outside"),
        ({"day": d(41), "split": "calibration"}, "calibration impression outside"),
        ({"day": d(46), "split": "calibration"}, "calibration impression outside"),
        ({"split": "test"}, "split other than"),
        ({"label_closes": d(53)}, "label not closed"),
        ({"prior_day": d(33)}, "prior not older"),
        ({"prior_day": d(34)}, "prior not older"),
        ({"prior_day": d(30)}, "prior from before its model's last label"),
    ],
)
def test_unsound_ranker_rows_raise(changed, rule):
    with pytest.raises(TimelineViolation, match=rule):
        SMALL.check_ranker_rows(ranker_rows(**changed), model_known_until=d(31))


def test_a_model_that_saw_labels_after_the_snapshot_is_refused():
    with pytest.raises(TimelineViolation, match="prior from before its model's last label"):
        SMALL.check_ranker_rows(ranker_rows(), model_known_until=d(32))


def test_test_labels_lie_in_their_window_and_are_known_by_its_close():
    good = {"event_time": end_of(d(52)), "known_at": end_of(d(66)) - timedelta(microseconds=1)}
    SMALL.check_test_labels(pd.DataFrame([good]))
    for changed, rule in (
        ({"event_time": end_of(d(52)) - timedelta(microseconds=1)}, "test label outside"),
        ({"event_time": end_of(d(59))}, "test label outside"),
        ({"known_at": end_of(d(66))}, "test label known after"),
        ({"known_at": pd.NaT}, "test label without a time"),
    ):
        with pytest.raises(TimelineViolation, match=rule):
            SMALL.check_test_labels(pd.DataFrame([good, {**good, **changed}]))
