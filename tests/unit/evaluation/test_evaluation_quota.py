"""The quota: chosen where it finds more, 0 where a source adds nothing or the sample shows nothing."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from ml.candidates.ad_retrieval import AdRetrieval
from ml.candidates.arms import Proposals
from ml.candidates.settings import CandidateSettings
from ml.evaluation.bootstrap import EvaluationSettings
from ml.evaluation.quota import QuotaCurve, facts_of, quota_curve

QUICK = EvaluationSettings(resamples=200)
SETTINGS = CandidateSettings(budget=10)
N_ADVERTISERS = 50


def curve_of(found_by: str, n_users: int, rng: np.random.Generator, settings: CandidateSettings = SETTINGS):
    """Users whose targets the conventional generator (its first ten ads) or the source's predictions hold."""
    ads = pd.DataFrame({"ad_id": [f"a{i:03d}" for i in range(100)], "popularity": 0.0, "category": "c"})
    ads["advertiser_id"] = [f"v{i // 2:02d}" for i in range(100)]
    ads["vertical"] = "v"
    users = np.array([f"u{i:03d}" for i in range(n_users)], dtype=object)
    taste = np.zeros((n_users, 100), dtype=np.float32)
    order = np.argsort(rng.random((n_users, 100)), axis=1)
    np.put_along_axis(taste, order[:, :10], np.arange(10, 0, -1, dtype=np.float32)[None], axis=1)
    retrieval = AdRetrieval(date(2024, 1, 1), users, taste, ads, np.eye(100, dtype=np.float32))
    predicted = order[:, 10:13] // 2
    pick = {"both": 0.5, "conventional": 0.0, "source": 1.0}[found_by]
    source = rng.random(n_users) < pick
    ad = np.where(source, predicted[:, 0] * 2, order[np.arange(n_users), rng.integers(0, 10, n_users)])
    labels = pd.DataFrame({"user_id": users, "ad_id": ads["ad_id"].to_numpy()[ad]})
    labels["advertiser_id"] = ads["advertiser_id"].to_numpy()[ad]
    predictions = pd.DataFrame(
        {
            "user_id": np.repeat(users, 3),
            "advertiser_id": [f"v{a:02d}" for a in predicted.ravel()],
            "rank": np.tile([1, 2, 3], n_users),
            "probability": np.tile([0.4, 0.3, 0.2], n_users),
        }
    ).drop_duplicates(["user_id", "advertiser_id"])
    proposals = Proposals.of(retrieval, predictions, users, settings)
    return quota_curve(proposals, labels, np.ones(n_users, dtype=bool), settings, QUICK, rng)


def test_a_source_that_finds_more_gets_slots():
    curve = curve_of("both", 400, np.random.default_rng(0))
    assert 0 < curve.chosen("advertiser_recall") <= 0.45, "three advertisers need no more than three slots"
    points = curve.as_json()
    assert [point["quota"] for point in points] == list(SETTINGS.choice.grid)
    assert points[0]["gain"] == {} and points[1]["gain"]["advertiser_recall"]["low"] > 0
    assert all(0 <= point["gini"] <= 1 for point in points)


@pytest.mark.parametrize(("found_by", "users"), [("conventional", 400), ("both", 3)])
def test_a_source_that_adds_nothing_or_too_small_a_sample_gets_none(found_by, users):
    assert curve_of(found_by, users, np.random.default_rng(1)).chosen("advertiser_recall") == 0.0


def test_the_smallest_quota_not_clearly_below_the_best_is_chosen():
    """A source that finds every target with its first advertiser: one slot is as good as all."""
    curve = curve_of("source", 400, np.random.default_rng(2))
    assert curve.chosen("advertiser_recall") == 0.1
    assert curve.recalls.metrics["0.1"]["advertiser_recall"].value == 1.0


def test_the_settings_override_and_nobody_labelled_means_zero():
    fixed = CandidateSettings(budget=10, quota=0.7)
    curve = curve_of("source", 50, np.random.default_rng(3))
    assert facts_of(curve, fixed)["quota"] == 0.7 and facts_of(curve, fixed)["chosen"] == 0.1
    free = facts_of(None, SETTINGS)
    assert (free["quota"], free["chosen"], free["fixed"], free["curve"]) == (0.0, None, False, [])


def test_no_known_ad_leaves_zero():
    curve = curve_of("source", 50, np.random.default_rng(3))
    blank = {
        name: {**by, "ad_recall": by["ad_recall"].__class__(*[float("nan")] * 3)}
        for name, by in curve.recalls.metrics.items()
    }
    nothing = QuotaCurve(curve.quotas, curve.recalls.__class__(50, blank, curve.recalls.differences), curve.spread, 50)
    assert nothing.chosen("ad_recall") == 0.0


def test_what_interests_hold_is_not_offered_twice():
    curve = curve_of("both", 20, np.random.default_rng(4), CandidateSettings(budget=10, interest_quota=0.5))
    assert max(curve.quotas) == 0.45
