"""Labels are the first conversions of the window, and only those known by its close."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.contexts import labels as labelling
from ml.contexts.build import build_contexts
from ml.contexts.examples import build_training_examples, targets_dropped
from ml.contexts.settings import ContextSettings
from ml.errors import BadInput
from ml.timeline import Timeline, TimelineSettings, end_of
from tests.lakes import GENERATE_ONLY, known_by, random_frames, scramble_future, temporary_lake

FIRST, N_DAYS = date(2024, 1, 1), 20
SEEDS = st.integers(0, 2**32)
TIMELINE = Timeline(
    date(2024, 1, 11),
    TimelineSettings(label_window_days=4, outcome_days=2, ranker_days=2, calibration_days=1),
)


def frames_of(seed: int):
    frames = random_frames(np.random.default_rng(seed), first=FIRST, n_days=N_DAYS, n_users=12, late_share=0.6)
    return {name: frame for name, frame in frames.items() if name not in ("impressions", "clicks")}


def consenting(frames) -> set[str]:
    newest = known_by("users", frames["users"], TIMELINE.as_of).sort_values("updated_at").groupby("user_id").tail(1)
    return set(newest.loc[newest["consent"].astype(bool), "user_id"])


@given(SEEDS)
@settings(max_examples=6, deadline=None, phases=GENERATE_ONLY)
def test_labels_are_what_a_plain_loop_finds(seed):
    frames = frames_of(seed)
    with temporary_lake(frames) as lake:
        labels = labelling.test_labels(lake, TIMELINE)
    people, expected = consenting(frames), {}
    known = known_by("conversions", frames["conversions"], TIMELINE.test_closes)
    for row in known.sort_values(["event_time", "conversion_id"]).itertuples():
        in_window = end_of(TIMELINE.as_of) <= row.event_time < end_of(TIMELINE.test.last)
        if in_window and row.user_id in people and row.user_id not in expected:
            expected[row.user_id] = (row.advertiser_id, row.event_time)
    got = {r.user_id: (r.advertiser_id, r.event_time) for r in labels.itertuples()}
    assert labels.columns.tolist() == ["user_id", "advertiser_id", "ad_id", "event_time", "known_at"]
    assert labels["user_id"].tolist() == sorted(expected)
    assert got == expected


@given(SEEDS)
@settings(max_examples=4, deadline=None, phases=GENERATE_ONLY)
def test_what_is_known_after_the_close_changes_no_label(seed):
    frames = frames_of(seed)
    other = scramble_future(frames, TIMELINE.test_closes, np.random.default_rng(seed + 1))
    with temporary_lake(frames) as one, temporary_lake(other) as two:
        pd.testing.assert_frame_equal(labelling.test_labels(one, TIMELINE), labelling.test_labels(two, TIMELINE))


@given(SEEDS)
@settings(max_examples=4, deadline=None, phases=GENERATE_ONLY)
def test_new_means_no_conversion_with_that_advertiser_known_by_as_of(seed):
    frames = frames_of(seed)
    with temporary_lake(frames) as lake:
        contexts = build_contexts(lake, TIMELINE.as_of, ContextSettings())
        labels = labelling.with_context(labelling.test_labels(lake, TIMELINE), contexts)
    past = known_by("conversions", frames["conversions"], TIMELINE.as_of)
    pairs = set(zip(past["user_id"], past["advertiser_id"], strict=True))
    expected = [(r.user_id, r.advertiser_id) not in pairs for r in labels.itertuples()]
    assert labelling.new_to_user(contexts, labels).tolist() == expected


def test_labels_without_a_context_are_an_error_not_new():
    with temporary_lake(frames_of(1)) as lake:
        contexts = build_contexts(lake, TIMELINE.as_of, ContextSettings())
    stranger = pd.DataFrame({"user_id": ["stranger"], "advertiser_id": ["a0"]})
    assert len(labelling.with_context(stranger, contexts)) == 0
    with pytest.raises(BadInput, match="without a context"):
        labelling.new_to_user(contexts, stranger)


@given(SEEDS, st.integers(0, 4))
@settings(max_examples=5, deadline=None, phases=GENERATE_ONLY)
def test_targets_and_dropped_targets_are_all_conversions(seed, min_users):
    frames = frames_of(seed)
    with temporary_lake(frames) as lake:
        examples = build_training_examples(lake, TIMELINE, ContextSettings(active_days=1), min_users=min_users)
    assert set(examples.targets["advertiser_id"]) <= set(examples.catalogue["advertiser_id"])
    assert (examples.catalogue["users"] >= min_users).all()
    conversions = examples.contexts.conversions()
    inside = conversions["advertiser_id"].isin(examples.catalogue["advertiser_id"])
    assert len(examples.targets) == inside.sum()
    assert targets_dropped(examples) == (~inside).sum()
    assert (examples.targets["known_at"] < end_of(TIMELINE.predictor_cutoff)).all()
    # all users, however long ago their last event
    old = known_by("activity", frames["activity"], FIRST + timedelta(days=1))["user_id"]
    newest = known_by("users", frames["users"], TIMELINE.predictor_cutoff).sort_values("updated_at")
    people = newest.groupby("user_id").tail(1).loc[lambda f: f["consent"].astype(bool), "user_id"]
    assert set(old) & set(people) <= set(examples.contexts.user_ids)
