"""Controls: every cheap source and the placebo, for exactly the LLM's users, only with eligible advertisers."""

from __future__ import annotations

import numpy as np
import pytest

from ml.predictors.controls import predict_controls
from ml.predictors.predictions import from_probabilities, violations
from ml.predictors.registry import BASELINES, BaselineSettings
from ml.predictors.sequence import SequenceSettings
from ml.predictors.text_linear import TextLinearSettings
from tests.contracts.predictor_contract import ADVERTISERS, build_examples

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
    tables, seconds = predict_controls(
        examples, examples.contexts, llm, eligible, QUICK, k=K, rng=np.random.default_rng(1)
    )
    return tables, seconds, scored, eligible, llm


def test_every_source_predicts_for_the_llms_users_only(found):
    tables, seconds, scored, _, _ = found
    assert set(tables["source"]) == {*BASELINES, "placebo"}
    assert set(seconds) == set(BASELINES)
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
