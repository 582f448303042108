"""The validation fold lies between training and test, and tuning is spared where it would be chance."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from ml.contexts.examples import build_training_examples
from ml.contexts.labels import test_labels as labels_of_test
from ml.contexts.settings import ContextSettings
from ml.errors import TimelineViolation
from ml.evaluation.validation import validation_fold
from ml.predictors.registry import BaselineSettings
from ml.predictors.tune_all import TuningSettings, tune_all
from ml.timeline import Timeline, TimelineSettings, end_of
from tests.lakes import random_frames, write_lake

FIRST = pd.Timestamp("2024-01-01").date()
SETTINGS = TimelineSettings(
    label_window_days=3, outcome_days=1, ranker_days=4, calibration_days=2, snapshot_every_days=2
)


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return Timeline(FIRST + timedelta(days=18), SETTINGS)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    frames = random_frames(np.random.default_rng(5), first=FIRST, n_days=26)
    return write_lake(frames, tmp_path_factory.mktemp("lake"))


def test_labels_are_the_first_conversions_after_the_cutoff_known_by_the_day(lake, timeline) -> None:  # type: ignore[no-untyped-def]
    examples = build_training_examples(lake, timeline, ContextSettings(), min_users=0)
    fold = validation_fold(lake, timeline, examples)
    assert len(fold.labels) > 5
    assert list(fold.labels["user_id"]) == list(fold.contexts.user_ids)
    opens, closes = end_of(timeline.predictor_cutoff), end_of(timeline.validation.last)
    assert closes <= end_of(timeline.as_of)
    with lake.connect() as con:
        rows = con.execute("SELECT * FROM conversions ORDER BY event_time, conversion_id").df()
    known = rows["known_at"].fillna(rows["event_time"])
    window = rows[(rows["event_time"] >= opens) & (rows["event_time"] < closes) & (known < end_of(timeline.as_of))]
    first = window.drop_duplicates("user_id").set_index("user_id")["advertiser_id"]
    assert list(first.loc[fold.labels["user_id"]]) == list(fold.labels["advertiser_id"])
    assert fold.contexts.events["time"].max() < opens
    assert timeline.validation.last < timeline.test.first
    assert len(labels_of_test(lake, timeline))


def test_a_label_that_is_not_known_yet_is_refused(timeline: Timeline) -> None:
    inside = pd.Timestamp(timeline.validation.first)
    rows = pd.DataFrame({"event_time": [inside], "known_at": [pd.Timestamp(end_of(timeline.as_of))]})
    with pytest.raises(TimelineViolation, match="known after"):
        timeline.check_validation_labels(rows)
    with pytest.raises(TimelineViolation, match="outside"):
        timeline.check_validation_labels(rows.assign(event_time=pd.Timestamp(timeline.predictor_cutoff)))


def test_few_labels_or_no_trials_leave_the_settings_alone(lake, timeline, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    examples = build_training_examples(lake, timeline, ContextSettings(), min_users=0)
    fold, given = validation_fold(lake, timeline, examples), BaselineSettings.with_half_life(33)
    for tuning in (TuningSettings(min_labels=10_000), TuningSettings(trials=0)):
        found = tune_all(fold, given, tuning, seed=0)
        assert (found.settings, found.found) == (given, {})
    seen: list[tuple[int, int]] = []
    tuning = TuningSettings(trials=3, min_labels=1, sources=("popularity", "repeat_last"))
    found = tune_all(fold, given, tuning, seed=0, progress=lambda done, total, unit: seen.append((done, total)))
    assert seen == [(n, 6) for n in range(1, 7)]
    assert set(found.found) == {"popularity", "repeat_last"}
    assert all(len(part["trials"]) == 3 and part["after"] >= part["before"] for part in found.found.values())
    assert found.settings.cooccurrence == given.cooccurrence


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ValidationError, match="no such source: astrology"):
        TuningSettings(sources=("astrology",))
