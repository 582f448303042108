"""The predictors' part of the study: one entry a source in every section, whatever the sources are called."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.bootstrap import EvaluationSettings, Resamples
from ml.evaluation.study import COMPARED, _exclusive, study_predictors
from ml.predictors.predictions import from_probabilities
from tests.contracts.predictor_contract import ADVERTISERS, build_examples

USERS = 40


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    examples = build_examples([list(rng.integers(0, ADVERTISERS, 1 + i % 6)) for i in range(USERS)])
    contexts, ids = examples.contexts, examples.catalogue["advertiser_id"].to_numpy()
    catalogue = examples.catalogue.assign(conversions=np.arange(1, len(ids) + 1))
    target = rng.integers(0, len(ids), USERS)
    labels = pd.DataFrame({"user_id": contexts.user_ids, "advertiser_id": ids[target]})
    labels.loc[0, "advertiser_id"] = "elsewhere"

    def says(at_the_top: np.ndarray) -> pd.DataFrame:
        """Half of everything for one advertiser of each user, the rest as it comes."""
        p = np.full((USERS, len(ids)), 0.5 / (len(ids) - 1))
        p[np.arange(USERS), at_the_top] = 0.5
        return from_probabilities(
            p, user_ids=contexts.user_ids, advertiser_ids=ids, day=contexts.as_of, source="s", model_version="v", k=50
        )

    blind = np.zeros(USERS, dtype=int)
    predictions = {"llm": says(target), "other": says(blind), "llm+other": says(target), "placebo": says(target[::-1])}
    is_new = np.arange(USERS) % 2 == 0
    settings = EvaluationSettings(resamples=100, ranking_resamples=100)
    return study_predictors(predictions, contexts, labels, is_new, catalogue, settings, rng), predictions, is_new


def test_every_section_knows_every_source(found):
    results, predictions, is_new = found
    for section in ("predictors", "predictor_calibration", "predictor_reliability"):
        assert set(results[section]) == set(predictions), section
    assert results["predictor_groups"]["all"] == USERS and results["predictor_groups"]["new"] == is_new.sum()
    assert results["predictor_groups"]["catalogue"] == USERS - 1
    assert results["predictors"]["llm"]["recall@1"]["value"] == pytest.approx(1 - 1 / USERS)
    assert {d["metric"] for d in results["predictor_differences"]} == set(COMPARED)
    assert sum(b["rows"] for b in results["predictor_reliability"]["llm"]) == USERS


def test_neither_blends_nor_the_placebo_take_from_what_a_source_finds_alone(found):
    assert set(found[0]["predictor_exclusive"]) == {"llm", "other", "placebo"}, "a blend has no hits of its own"
    beyond = np.inf
    ranks = {
        "llm": np.array([1.0, 2.0, 3.0, beyond]),
        "other": np.array([1.0, beyond, 21.0, 4.0]),
        "llm+other": np.array([1.0, 1.0, 1.0, 1.0]),
        "placebo": np.array([1.0, 1.0, beyond, beyond]),
    }
    shares = _exclusive(ranks, Resamples(4, 100, np.random.default_rng(0)))
    values = {name: figures["exclusive_hits@20"]["value"] for name, figures in shares.items()}
    assert values == pytest.approx({"llm": 2 / 3, "other": 1 / 2, "placebo": 0.0})


def test_whoever_is_right_twice_as_often_as_he_says_is_not_calibrated(found):
    results, _, _ = found
    assert results["predictor_calibration"]["llm"]["top1_ece"]["value"] == pytest.approx(0.5, abs=0.05)
