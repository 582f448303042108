"""Permutation importance where the truth is known: what decides, what repeats it, what only tells days apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.evaluation.bootstrap import EvaluationSettings, Resamples
from ml.evaluation.importance import Shuffled, area, deal_within, study_importance
from ml.ranking.feature_groups import GROUPS, group_of
from ml.ranking.features import FEATURES_BASE
from ml.ranking.priors import FEATURES_PRIOR
from ml.ranking.ranker import train_ranker
from ml.ranking.settings import RankerSettings

N_ROWS, N_USERS, N_DAYS = 3000, 150, 5


@given(st.integers(0, 2**16), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_area_equals_scikit_learn_with_sample_weights(seed: int, decimals: int) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    probability, user = np.round(rng.beta(1, 4, 200), decimals), rng.integers(20, size=200)
    label = (rng.random(200) < 0.3).astype(float)
    label[:2], user[:2] = [0, 1], 0
    weights = rng.integers(0, 4, size=(3, 20)).astype(float)
    weights[:, 0] = 1
    found = area(probability, label, user, 20)(weights)
    assert found == pytest.approx([roc_auc_score(label, probability, sample_weight=w[user]) for w in weights])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 99))
def test_values_are_dealt_within_their_day_and_each_once(days: list[int], seed: int) -> None:
    dealt = deal_within(np.array(days), np.random.default_rng(seed))
    assert sorted(dealt) == list(range(len(days)))
    assert (np.array(days)[dealt] == days).all()


@pytest.fixture(scope="module")
def known() -> Shuffled:
    """P(label) is a known function of: 0 what decides, 1 a copy of it, 2 noise, 3 the day's own rate, 4 nothing."""
    rng = np.random.default_rng(3)
    day, user = rng.integers(N_DAYS, size=N_ROWS), np.append(np.arange(N_USERS), rng.integers(N_USERS, size=2850))
    decides = rng.normal(size=N_ROWS)
    matrix = np.column_stack([decides, decides, rng.normal(size=N_ROWS), day / 2.0, np.ones(N_ROWS)])

    def predict(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(3.5 - 0.7 * x[:, 0] - 0.7 * x[:, 1] - x[:, 3]))

    label = (rng.random(N_ROWS) < predict(matrix)).astype(float)
    dealt = [deal_within(day, rng) for _ in range(5)]
    return Shuffled(predict, matrix, label, user, dealt, Resamples(N_USERS, 200, rng))


def test_only_what_decides_costs(known: Shuffled) -> None:
    single, pair, noise, day, constant = known.costs([[0], [0, 1], [2], [3], [4]])
    assert single.auc_drop.low > 0 and single.log_loss_rise.low > 0
    # A copy stands in for what is shuffled: only together do they show what they are worth.
    assert pair.auc_drop.low > single.auc_drop.high and pair.log_loss_rise.low > single.log_loss_rise.high
    for useless in (noise, day, constant):
        assert (useless.auc_drop.value, useless.log_loss_rise.value) == pytest.approx((0, 0), abs=1e-15)


def test_on_one_day_the_mean_is_that_of_scikit_learn(known: Shuffled) -> None:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.inspection import permutation_importance

    class Model(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        classes_ = np.array([0, 1])

        def fit(self, x: np.ndarray, y: np.ndarray) -> Model:
            return self

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return np.column_stack([1 - known.predict(x), known.predict(x)])

    rng = np.random.default_rng(0)
    dealt = [deal_within(np.zeros(N_ROWS), rng) for _ in range(20)]
    mine = Shuffled(known.predict, known.matrix, known.labels, known.user, dealt, Resamples(N_USERS, 100, rng))
    theirs = permutation_importance(
        Model(), known.matrix, known.labels, scoring="roc_auc", n_repeats=20, random_state=1
    )
    found = [cost.auc_drop.value for cost in mine.costs([[i] for i in range(5)])]
    assert found == pytest.approx(theirs["importances_mean"], abs=0.004)


def test_shuffling_leaves_the_rows_as_they_were(known: Shuffled) -> None:
    before = known.matrix.copy()
    known.costs([[0, 2]])
    np.testing.assert_array_equal(known.matrix, before)


def test_every_feature_has_a_group() -> None:
    assert {group_of(name) for name in FEATURES_BASE + FEATURES_PRIOR} == set(GROUPS)
    assert {group_of(name) for name in FEATURES_PRIOR} == {"priors"}


@pytest.fixture(scope="module")
def studied() -> dict[str, dict]:
    """Two arms trained on rows that a prior decides; the placebo's prior is another user's."""
    rng = np.random.default_rng(11)
    rows = pd.DataFrame({"user_id": rng.integers(200, size=8000).astype(str), "day": rng.integers(4, size=8000)})
    rows = rows.assign(prior_day=rows["day"] - 1, surface="home")
    base = pd.DataFrame(rng.normal(size=(8000, 3)), columns=["region_code", "ad_age_days", "user_searches_7d"])
    truth = rng.random(8000)
    rows["label"] = (rng.random(8000) < 0.3 * truth).astype(int)
    rows["split"] = np.repeat(["train", "calibration", "test"], [4000, 2000, 2000])
    frames = {"none": base, "llm": base.assign(prior_probability=truth, prior_rank=-truth)}
    frames["placebo"] = base.assign(prior_probability=rng.permutation(truth), prior_rank=0.0)
    fast = RankerSettings(threads=1, rounds=30)
    rankers = {arm: train_ranker(features, rows, fast, seed=1) for arm, features in frames.items()}
    test = rows["split"] == "test"
    of_test = {arm: features[test].reset_index(drop=True) for arm, features in frames.items()}
    chosen = EvaluationSettings(ranking_resamples=100, importance_rows=1000)
    return {
        name: study_importance(
            rankers, of_test, rows[test].reset_index(drop=True), calibrated=name == "shown", settings=chosen,
            rng=np.random.default_rng(5),
        )
        for name in ("shown", "sampled")
    }  # fmt: skip


def test_priors_cost_the_arm_that_needs_them_and_no_other(studied: dict[str, dict]) -> None:
    groups = {
        arm: {g["group"]: g for g in found} for arm, found in studied["shown"]["ranker_importance_groups"].items()
    }
    assert "priors" not in groups["none"]
    assert groups["llm"]["priors"]["auc_drop"]["low"] > 0.05 > abs(groups["placebo"]["priors"]["auc_drop"]["value"])
    # What gain alone would say of priors that know nothing.
    assert groups["placebo"]["priors"]["gain_share"] > 0.1
    for found in studied["shown"]["ranker_importance"].values():
        assert sum(f["gain_share"] for f in found) == pytest.approx(1.0)


def test_rows_are_those_of_whole_users_and_at_most_as_many_as_set(studied: dict[str, dict]) -> None:
    sample = studied["shown"]["ranker_importance_sample"]
    assert sample["repeats"] == 3 and 900 < sample["rows"] <= 1000 and sample["users"] < 200


def test_log_loss_means_nothing_on_sampled_negatives(studied: dict[str, dict]) -> None:
    for key in ("ranker_importance", "ranker_importance_groups"):
        for arm, found in studied["sampled"][key].items():
            assert all(f["log_loss_rise"] is None for f in found)
            same = zip(found, studied["shown"][key][arm], strict=True)
            assert all(one["auc_drop"] == two["auc_drop"] for one, two in same)
