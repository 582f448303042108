"""Priors as features: values by hand, explicit fills, and no user's prior on another's row."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from ml.errors import BadInput, TimelineViolation
from ml.predictors.predictions import COLUMNS
from ml.ranking.arms import arms
from ml.ranking.blocks import FLOOR, UNSCORED
from ml.ranking.features import FEATURES_BASE, build_features
from ml.ranking.priors import FEATURES_PRIOR, Priors, prior_features
from tests.lakes import random_lake

SNAPSHOT, DAY = date(2024, 1, 7), date(2024, 1, 10)
VERTICALS = pd.Series({"a0": "shoes", "a1": "shoes", "a2": "travel", "a3": "travel"})


def predictions(rows: list[tuple[str, str, int, float]], day: date = SNAPSHOT, source: str = "llm") -> pd.DataFrame:
    return pd.DataFrame([(u, day, source, a, r, p, "v1") for u, a, r, p in rows], columns=COLUMNS)


def asked(*pairs: tuple[str, str], day: date = DAY, prior_day: date | None = SNAPSHOT) -> pd.DataFrame:
    frame = pd.DataFrame(pairs, columns=["user_id", "advertiser_id"])
    return frame.assign(ad_id="ad-" + frame["advertiser_id"] + "-0", day=day, prior_day=prior_day, surface="home")


PRIORS = predictions([("u00", "a0", 1, 0.5), ("u00", "a1", 2, 0.2), ("u00", "a2", 3, 0.1), ("u01", "a3", 1, 0.4)])


def test_values_by_hand():
    found = prior_features(asked(("u00", "a1"), ("u00", "a3"), ("u02", "a1"), ("u01", "a3")), PRIORS, VERTICALS)
    listed, unlisted, unscored, other = found.to_dict("records")
    assert listed == pytest.approx(
        {
            "prior_probability": 0.2,
            "prior_log_odds": np.log(0.2 / 0.8),
            "prior_rank": 2,
            "prior_vertical_share": 0.7 / 0.8,
            "prior_interest_match": -1,
            "prior_staleness_days": 3,
            "prior_scored": 1,
        }
    )
    assert unlisted["prior_probability"] == 0 and unlisted["prior_rank"] == 4
    assert unlisted["prior_log_odds"] == pytest.approx(np.log(FLOOR / (1 - FLOOR)))
    assert unlisted["prior_vertical_share"] == pytest.approx(0.1 / 0.8)
    assert unscored == UNSCORED
    assert other["prior_vertical_share"] == 1


def test_an_ad_of_a_forecast_interest_has_its_probability():
    """Of the row's own user and snapshot; 0 for a category that is not among them, -1 where there are none."""
    interests = pd.DataFrame(
        [
            ("u00", SNAPSHOT, "boots", 1, 0.6, "v"),
            ("u00", SNAPSHOT, "trips", 2, 0.3, "v"),
            ("u01", date(2024, 1, 1), "boots", 1, 0.9, "v"),
        ],
        columns=["user_id", "day", "interest", "rank", "probability", "model_version"],
    )
    categories = pd.Series({"ad-a0-0": "trips", "ad-a1-0": "boots", "ad-a3-0": "cruises"})
    rows = asked(("u00", "a0"), ("u00", "a1"), ("u00", "a3"), ("u01", "a1"), ("u02", "a1"))
    found = prior_features(rows, Priors(PRIORS, interests), VERTICALS, categories)
    assert found["prior_interest_match"].tolist() == pytest.approx([0.3, 0.6, 0, -1, -1])
    others = [name for name in FEATURES_PRIOR if name != "prior_interest_match"]
    pd.testing.assert_frame_equal(found[others], prior_features(rows, PRIORS, VERTICALS)[others])


def test_only_the_prior_of_the_rows_own_snapshot_counts():
    """Neither a later snapshot's nor an earlier one's."""
    later = predictions([("u00", "a1", 1, 0.9)], day=date(2024, 1, 14))
    earlier = predictions([("u02", "a1", 1, 0.9)], day=date(2024, 1, 1))
    rows = asked(("u00", "a1"), ("u02", "a1"))
    both = prior_features(rows, pd.concat([PRIORS, later, earlier]), VERTICALS)
    pd.testing.assert_frame_equal(both, prior_features(rows, PRIORS, VERTICALS))


def test_a_row_without_a_snapshot_is_unscored():
    found = prior_features(asked(("u00", "a1"), prior_day=None), PRIORS, VERTICALS)
    assert found.iloc[0].to_dict() == UNSCORED


def test_a_prior_that_is_not_older_than_its_row_is_refused():
    with pytest.raises(TimelineViolation):
        prior_features(asked(("u00", "a1"), day=SNAPSHOT), PRIORS, VERTICALS)


def test_priors_of_two_sources_are_refused():
    mixed = pd.concat([PRIORS, predictions([("u01", "a1", 1, 0.1)], source="placebo")])
    with pytest.raises(BadInput, match="several sources"):
        prior_features(asked(("u00", "a1")), mixed, VERTICALS)


def test_another_users_prior_changes_only_that_users_prior_columns(tmp_path):
    lake = random_lake(tmp_path, np.random.default_rng(4), n_days=12)
    rows = asked(("u00", "a1"), ("u01", "a3"), ("u00", "a2"))
    other = PRIORS.assign(probability=PRIORS["probability"].where(PRIORS["user_id"] != "u01", 0.9))
    before, after = build_features(lake, rows, PRIORS), build_features(lake, rows, other)
    assert list(before.columns) == FEATURES_BASE + FEATURES_PRIOR
    changed = before != after
    assert not changed[FEATURES_BASE].any().any()
    assert changed.any(axis=1).tolist() == [False, True, False]


def test_arms_share_rows_and_base_columns(tmp_path):
    lake = random_lake(tmp_path, np.random.default_rng(4), n_days=12)
    rows = asked(("u00", "a1"), ("u01", "a3")).set_index(pd.Index([7, 3]))
    found = arms(lake, rows, {"llm": PRIORS, "placebo": PRIORS.iloc[:0]})
    assert list(found) == ["none", "llm", "placebo"]
    assert list(found["none"].columns) == FEATURES_BASE
    for name, features in found.items():
        assert features.index.tolist() == [7, 3]
        pd.testing.assert_frame_equal(features[FEATURES_BASE], found["none"])
        assert not features.isna().any().any(), name
    assert (found["placebo"]["prior_scored"] == 0).all()
    with pytest.raises(BadInput):
        arms(lake, rows, {"none": PRIORS})
