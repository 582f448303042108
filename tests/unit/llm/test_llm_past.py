"""Past predictions: one pass over the last snapshot gives what each snapshot read by itself gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.predictors.catalogue import build_catalogue
from ml.predictors.past import _prefix_of, predict_past
from ml.predictors.predictions import read_predictions, violations
from ml.predictors.prior_shift import UNCHANGED, PriorShift
from tests.lakes import random_lake

SETTINGS = ContextSettings()


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return random_lake(tmp_path_factory.mktemp("lake"), np.random.default_rng(3))


@pytest.mark.parametrize("least", [1, 100])
def test_shared_pass_equals_separate_passes(lake, trained, tmp_path, least):
    days = lake.days("activity")
    snapshots = [days[len(days) // 3], days[len(days) // 2], days[-2]]
    users = build_contexts(lake, snapshots[-1], SETTINGS).user_ids[:-1]
    predictor, k = trained.predictor, 3
    labels = pd.DataFrame({"user_id": users, "advertiser_id": np.resize(predictor.advertiser_ids[:2], len(users))})
    given = {"min_users": 0, "k": k, "labels": labels, "rng": np.random.default_rng(0), "work": tmp_path}
    found, correction = predict_past(predictor, lake, snapshots, users, SETTINGS, min_labels=least, **given)
    assert (correction == UNCHANGED) == (least > len(users))
    assert set(found["source"]) == {"llm", "placebo"} and set(found["user_id"]) <= set(users)
    for day in snapshots:
        everyone = build_contexts(lake, day, SETTINGS)
        contexts = everyone.take(np.flatnonzero(np.isin(everyone.user_ids, users)))
        with lake.connect(as_of=day) as con:
            speaking = predictor.with_catalogue(build_catalogue(con, day))
        alone = speaking.with_prior_shift(correction, everyone).predict(contexts, k)
        mine = found[(found["source"] == "llm") & (found["day"] == day)]
        assert violations(mine, set(alone["advertiser_id"]) | set(mine["advertiser_id"])) == []
        both = mine.merge(alone, on=["user_id", "advertiser_id"], suffixes=("", "_alone"))
        assert len(both) == len(alone) == len(mine)
        assert np.abs(both["probability"] - both["probability_alone"]).max() < 1e-5
    stored = read_predictions(tmp_path)
    assert len(stored) == len(found)


def test_a_changed_profile_is_not_shared(lake):
    """A profile that changed between two snapshots would tell the earlier one about a later day."""
    days = lake.days("activity")
    later = build_contexts(lake, days[-1], SETTINGS)
    earlier = build_contexts(lake, days[-1], SETTINGS)
    assert _prefix_of(earlier, later)[1].all()
    earlier.users.loc[0, "region"] = "elsewhere"
    assert not _prefix_of(earlier, later)[1][0] and _prefix_of(earlier, later)[1][1:].all()


def test_a_shifted_llm_is_the_plain_one_corrected(lake, trained):
    contexts = build_contexts(lake, lake.days("activity")[-1], SETTINGS)
    predictor, correction = trained.predictor, PriorShift(14.0, strength=0.7, sharpness=1.3)
    logs = np.log(predictor.probabilities(contexts)) * 1.3 + correction.of_day(contexts, predictor.advertiser_ids)
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    found = predictor.with_prior_shift(correction, contexts).probabilities(contexts)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    unchanged = predictor.with_prior_shift(UNCHANGED, contexts).probabilities(contexts)
    np.testing.assert_allclose(unchanged, predictor.probabilities(contexts), rtol=1e-5)
