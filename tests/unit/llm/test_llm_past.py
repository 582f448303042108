"""Past predictions: one pass over the last snapshot gives what each snapshot read by itself gives."""

from __future__ import annotations

import numpy as np
import pytest

from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.predictors.catalogue import build_catalogue
from ml.predictors.past import _prefix_of, predict_past
from ml.predictors.predictions import read_predictions, violations
from tests.lakes import random_lake

SETTINGS = ContextSettings()


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return random_lake(tmp_path_factory.mktemp("lake"), np.random.default_rng(3))


def test_shared_pass_equals_separate_passes(lake, trained, tmp_path):
    days = lake.days("activity")
    snapshots = [days[len(days) // 3], days[len(days) // 2], days[-2]]
    users = build_contexts(lake, snapshots[-1], SETTINGS).user_ids[:-1]
    predictor, k = trained.predictor, 3
    found = predict_past(
        predictor, lake, snapshots, users, SETTINGS, min_users=0, k=k, rng=np.random.default_rng(0), work=tmp_path
    )
    assert set(found["source"]) == {"llm", "placebo"} and set(found["user_id"]) <= set(users)
    for day in snapshots:
        contexts = build_contexts(lake, day, SETTINGS)
        contexts = contexts.take(np.flatnonzero(np.isin(contexts.user_ids, users)))
        with lake.connect(as_of=day) as con:
            alone = predictor.with_catalogue(build_catalogue(con, day)).predict(contexts, k)
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
