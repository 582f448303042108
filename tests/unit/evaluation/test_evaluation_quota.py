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
from ml.evaluation.quota import QuotaCurve, choose_quotas, quota_curve

QUICK = EvaluationSettings(resamples=200)
SETTINGS = CandidateSettings(budget=10)


Judged = tuple[Proposals, pd.DataFrame, np.ndarray]


def judged(found_by: str, n_users: int, rng: np.random.Generator, *, interests: bool = False) -> Judged:
    """Users whose targets the conventional generator (its first ten ads) or the source's predictions hold."""
    ads = pd.DataFrame({"ad_id": [f"a{i:03d}" for i in range(100)], "popularity": 0.0, "vertical": "v"})
    ads["advertiser_id"] = [f"v{i // 2:02d}" for i in range(100)]
    ads["category"] = [f"c{i // 2:02d}" for i in range(100)]
    users = np.array([f"u{i:03d}" for i in range(n_users)], dtype=object)
    taste = np.zeros((n_users, 100), dtype=np.float32)
    order = np.argsort(rng.random((n_users, 100)), axis=1)
    np.put_along_axis(taste, order[:, :10], np.arange(10, 0, -1, dtype=np.float32)[None], axis=1)
    retrieval = AdRetrieval(date(2024, 1, 1), users, taste, ads, np.eye(100, dtype=np.float32))
    predicted = order[:, 10:13] // 2
    source = rng.random(n_users) < {"both": 0.5, "conventional": 0.0, "source": 1.0}[found_by]
    ad = np.where(source, predicted[:, 0] * 2, order[np.arange(n_users), rng.integers(0, 10, n_users)])
    labels = pd.DataFrame({"user_id": users, "ad_id": ads["ad_id"].to_numpy()[ad]})
    labels["advertiser_id"] = ads["advertiser_id"].to_numpy()[ad]
    table = pd.DataFrame({"user_id": np.repeat(users, 3), "rank": np.tile([1, 2, 3], n_users)})
    table["probability"] = np.tile([0.4, 0.3, 0.2], n_users)
    named = {what: table.assign(**{what: [f"{letter}{a:02d}" for a in predicted.ravel()]}) for what, letter in NAMED}
    named = {what: rows.drop_duplicates(["user_id", what]) for what, rows in named.items()}
    asked = None if interests else named["advertiser_id"]
    return (
        Proposals.of(retrieval, asked, users, SETTINGS, named["interest"] if interests else None),
        labels,
        np.ones(n_users, dtype=bool),
    )


NAMED = (("advertiser_id", "v"), ("interest", "c"))


def curve_of(found_by: str, n_users: int, rng: np.random.Generator, **fixed: float) -> QuotaCurve:
    fixed = fixed or {"interest_quota": 0.0}
    return quota_curve(*judged(found_by, n_users, rng), SETTINGS, QUICK, rng, **fixed)


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
    rng = np.random.default_rng(3)
    proposals, labels, is_new = judged("source", 50, rng)
    free = choose_quotas(proposals, labels, is_new, SETTINGS, QUICK, rng)
    assert (free["quota"], free["interest_quota"], free["interest_chosen"]) == (0.1, 0.0, None)
    fixed = CandidateSettings(budget=10, quota=0.7, interest_quota=0.2)
    held = choose_quotas(proposals, labels, is_new, fixed, QUICK, rng)
    assert (held["quota"], held["chosen"], held["fixed"], held["interest_quota"]) == (0.7, 0.1, True, 0.2)
    nobody = choose_quotas(proposals, labels.iloc[:0], is_new[:0], SETTINGS, QUICK, rng)
    assert (nobody["quota"], nobody["chosen"], nobody["curve"], nobody["users"]) == (0.0, None, [], 0)


def test_interests_get_their_own_slots_where_they_find_more():
    """Only interests are forecast: none for advertisers, and for interests what finds the targets."""
    rng = np.random.default_rng(5)
    chosen = choose_quotas(*judged("both", 400, rng, interests=True), SETTINGS, QUICK, rng)
    assert chosen["quota"] == 0.0 and 0 < chosen["interest_quota"] <= 0.45
    assert chosen["interest_curve"][1]["gain"]["advertiser_recall"]["low"] > 0
    useless = choose_quotas(*judged("conventional", 400, rng, interests=True), SETTINGS, QUICK, rng)
    assert useless["interest_quota"] == 0.0


def test_no_known_ad_leaves_zero():
    curve = curve_of("source", 50, np.random.default_rng(3))
    blank = {
        name: {**by, "ad_recall": by["ad_recall"].__class__(*[float("nan")] * 3)}
        for name, by in curve.recalls.metrics.items()
    }
    nothing = QuotaCurve(curve.quotas, curve.recalls.__class__(50, blank, curve.recalls.differences), curve.spread, 50)
    assert nothing.chosen("ad_recall") == 0.0


def test_what_interests_hold_is_not_offered_twice():
    assert max(curve_of("both", 20, np.random.default_rng(4), interest_quota=0.5).quotas) == 0.45
    assert max(curve_of("both", 20, np.random.default_rng(4), quota=0.9).quotas) == 0.1
