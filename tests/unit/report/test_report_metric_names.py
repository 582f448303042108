"""One vocabulary: names say split, source and measure; nothing unknown, nothing null, nothing twice."""

from __future__ import annotations

import re

import pytest
from report_example import example

from ml.errors import BadInput
from ml.report.metric_names import (
    COMPARED,
    PREFIX,
    cost_metrics,
    curve_metrics,
    evaluation_metrics,
    flat,
    llm_metrics,
    metric_name,
)

NAME = re.compile(r"(train|validation|calibration|test)(_interval)?/[a-z_]+/[a-z_0-9]+?(_at_\d+)?(_low|_high)?")


def test_measures_nobody_explained_are_refused() -> None:
    assert metric_name("test", "llm", "new_recall@10") == "test/llm/new_recall_at_10"
    with pytest.raises(BadInput, match="accuracy"):
        metric_name("test", "llm", "accuracy")
    with pytest.raises(ValueError, match="holdout"):
        metric_name("holdout", "llm", "auc")


def test_an_evaluation_gives_every_source_and_arm_the_same_measures() -> None:
    results = example()
    found = evaluation_metrics(results)
    assert all(NAME.fullmatch(name) for name in flat(found))
    for part, measures in COMPARED.items():
        for who, figures in results[part].items():
            for measure in (m for m in measures if m in figures):
                name = metric_name("test", who, PREFIX.get(part, "") + measure)
                assert found[name] == {end: figures[measure][end] for end in ("value", "low", "high")}
    assert found["test/llm_minus_none/auc"]["value"] == results["ranker_differences"][0]["value"]


def test_costs_stand_apart_and_what_was_not_measured_is_left_out() -> None:
    results = example()
    results["predictor_costs"]["llm"]["cpu_seconds_per_1000_users"] = None
    found = cost_metrics(results)
    assert found["cost/ials/fit_cpu_seconds"] == results["predictor_costs"]["ials"]["fit_cpu_seconds"]
    assert {name for name in found if "/llm/" in name} == {"cost/llm/fit_cpu_seconds"}
    assert not set(found) & set(evaluation_metrics(results))


def test_a_predictors_own_figures_are_those_of_every_section_about_it() -> None:
    own = evaluation_metrics(example(), part="predictors", arm="llm")
    assert {"test/llm/top1_ece", "test/llm/exclusive_hits_at_20", "test/llm/ndcg_at_10"} <= set(own)
    assert "test/llm/log_loss" not in own, "that is the ranker's"


def test_what_means_nothing_is_left_out() -> None:
    results = example()
    results["ranker"]["llm"]["ece"] = None
    results["ranker"]["none"]["ece"] = dict.fromkeys(("value", "low", "high"))
    assert set(evaluation_metrics(example())) - set(evaluation_metrics(results)) == {
        "test/llm/ece",
        "test/none/ece",
    }


def test_a_model_is_given_its_own_figures_only() -> None:
    of_ranker = evaluation_metrics(example(), part="ranker", arm="llm")
    assert {"test/llm/auc", "test/llm_minus_none/auc"} <= set(of_ranker)
    assert not [name for name in of_ranker if "recall" in name or name.startswith(("test/none", "test/placebo"))]


def test_an_interval_becomes_three_numbers_and_its_ends_stand_apart() -> None:
    figures = {
        "test/llm/auc": {"value": 0.7, "low": 0.6, "high": 0.8},
        "volume/rows": 3,
        "calibration/llm/auc": float("nan"),
    }
    assert flat(figures) == {
        "test/llm/auc": 0.7,
        "test_interval/llm/auc_low": 0.6,
        "test_interval/llm/auc_high": 0.8,
        "volume/rows": 3.0,
    }


def test_the_llm_and_popularity_are_named_alike() -> None:
    measured = {
        f"{who}_{what}": 0.5 for who in ("validation", "popularity") for what in ("log_loss", "recall@1", "recall@10")
    }
    found = llm_metrics(measured, {"train_users": 7}, 1.2)
    assert found["volume/train_users"] == 7
    of = {who: {n.rpartition("/")[2] for n in found if f"/{who}/" in n} for who in ("llm", "popularity")}
    assert of["llm"] - {"temperature"} == of["popularity"] == {"log_loss", "recall_at_1", "recall_at_10"}
    measured |= {f"{who}_interest_recall@5": 0.4 for who in ("validation", "popularity")}
    assert llm_metrics(measured, {}, 1.2)["validation/popularity/interest_recall_at_5"] == 0.4
    assert curve_metrics({"step": 1, "tokens": 9, "loss": 2.0, "interest_loss": 1.5, "validation_loss": 3.0}) == {
        "train/llm/loss": 2.0,
        "train/llm/interest_loss": 1.5,
        "validation/llm/loss": 3.0,
    }


def test_blends_have_one_name_in_every_run() -> None:
    assert metric_name("test", "llm+ials", "recall@10") == "test/llm_blend/recall_at_10"
    assert metric_name("test", "ials+text_linear", "auc") == "test/best_other_blend/auc"
