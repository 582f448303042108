"""Controls: every cheap source and the placebo, for exactly the LLM's users, only with eligible advertisers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.predictors.blend import BlendSettings
from ml.predictors.controls import Blending, predict_controls
from ml.predictors.fold import Fold
from ml.predictors.predictions import from_probabilities, violations
from ml.predictors.registry import BASELINES, BaselineSettings
from ml.predictors.sequence import SequenceSettings
from ml.predictors.text_linear import TextLinearSettings
from tests.contracts.predictor_contract import ADVERTISERS, build_examples, checkerboard_world

K = 5
QUICK = BaselineSettings(
    text_linear=TextLinearSettings(rank=8, epochs=1, min_prompts=1), sequence=SequenceSettings(hidden=8, epochs=1)
)


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    examples = build_examples([list(rng.integers(0, ADVERTISERS, 6)) for _ in range(60)])
    ids = examples.catalogue["advertiser_id"].to_numpy()
    scored = examples.contexts.take(np.arange(0, 60, 2))
    llm = from_probabilities(
        rng.dirichlet(np.ones(len(ids)), len(scored)),
        user_ids=scored.user_ids,
        advertiser_ids=ids,
        day=scored.as_of,
        source="llm",
        model_version="v",
        k=K,
    )
    eligible = ids[3:]  # three advertisers have left since the cutoff
    tables, facts = predict_controls(
        examples, examples.contexts, llm, eligible, QUICK, k=K, rng=np.random.default_rng(1)
    )
    return tables, facts, scored, eligible, llm


def test_every_source_predicts_for_the_llms_users_only(found):
    tables, facts, scored, _, _ = found
    assert set(tables["source"]) == {*BASELINES, "placebo"}
    assert set(facts["costs"]) == set(BASELINES)
    for cost in facts["costs"].values():
        assert set(cost) == {"train_users", "fit_cpu_seconds", "cpu_seconds_per_1000_users"}
        assert cost["train_users"] == 60 and cost["fit_cpu_seconds"] >= 0
    assert facts["blends"] == {}
    for _, table in tables.groupby("source"):
        assert set(table["user_id"]) == set(scored.user_ids)


def test_who_has_left_is_no_prediction_and_ranks_stay_whole(found):
    tables, _, _, eligible, _ = found
    own = tables[tables["source"] != "placebo"]
    assert violations(own, set(eligible)) == []
    assert (own.groupby(["source", "user_id"]).size() == K).all(), "the next best advertisers take their places"


def test_placebo_is_the_llms_rows_of_somebody_else(found):
    tables, _, _, _, llm = found
    placebo = tables[tables["source"] == "placebo"]
    assert sorted(placebo["probability"]) == sorted(llm["probability"])
    mine = placebo.merge(llm, on=["user_id", "rank"], suffixes=("", "_llm"))
    assert (mine["probability"] != mine["probability_llm"]).all()


def test_blends_are_chosen_on_the_validation_fold_and_come_as_sources() -> None:
    rng = np.random.default_rng(2)
    examples, following = checkerboard_world(240, rng)
    ids, contexts = examples.catalogue["advertiser_id"].to_numpy(), examples.contexts
    labels = pd.DataFrame({"user_id": contexts.user_ids, "advertiser_id": ids[following]})
    fold = Fold(examples, contexts, labels, np.ones(240, dtype=bool))
    hints = rng.dirichlet(np.ones(ADVERTISERS), 240)
    hints[np.arange(240), following] += np.where(rng.random(240) < 0.5, 1.0, 0.0)
    llm = from_probabilities(
        hints / hints.sum(axis=1, keepdims=True),
        user_ids=contexts.user_ids,
        advertiser_ids=ids,
        day=contexts.as_of,
        source="llm",
        model_version="v",
        k=10,
    )
    few = llm[llm["user_id"].isin(contexts.user_ids[:200])]
    for past, users in ((few, 200), (few[few["user_id"] < "u0030"], 30)):
        blending = Blending(fold, past, BlendSettings(form="pool", min_users=50))
        tables, facts = predict_controls(
            examples, contexts, llm, ids, QUICK, blending, k=K, rng=np.random.default_rng(1)
        )
        assert facts["blends"]["validation_users"] == users
        blends = sorted(name for name in tables["source"].unique() if "+" in name)
        if users < 50:
            assert blends == []
            continue
        assert len(blends) == 2
        assert sum(name.startswith("llm+") for name in blends) == 1
        assert violations(tables[tables["source"].isin(blends)], set(ids)) == []
        mixed = tables[tables["source"] == next(b for b in blends if b.startswith("llm+"))]
        hit = mixed.merge(labels, on=["user_id", "advertiser_id"])["rank"] <= 3
        alone = llm.merge(labels, on=["user_id", "advertiser_id"])["rank"] <= 3
        assert hit.sum() > alone.sum()
