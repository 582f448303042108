"""Quality beside cost: the best first, whatever the sources are called; a blend costs what its sources do."""

from __future__ import annotations

import pytest
from report_example import example

from ml.report.page import render
from ml.report.quality import best_first, cost_text_of, cpu_text, plotted
from ml.report.schema import parse
from ml.report.summary import COST, summary_rows


def test_sources_come_best_first_and_those_without_figures_last() -> None:
    results = example()
    results["predictors"]["brand_new_source"] = results["predictors"]["ials"]
    results["predictors"]["llm"]["recall@10"] = None
    found = best_first(parse(results))
    assert found[-1] == "llm" and set(found) == set(results["predictors"])
    values = [results["predictors"][name]["recall@10"]["value"] for name in found[:-1]]
    assert values == sorted(values, reverse=True)
    assert "brand new source" in render(parse(results))


def test_a_blend_costs_what_both_of_its_sources_do() -> None:
    results = example()
    costs = results["predictor_costs"]
    costs["llm"] = {"train_users": 500, "fit_cpu_seconds": 200.0, "cpu_seconds_per_1000_users": 30.0}
    costs["ials"] = {"train_users": 2_000, "fit_cpu_seconds": 4.0, "cpu_seconds_per_1000_users": 0.5}
    found = cost_text_of(parse(results), "llm+ials")
    assert found is not None
    assert (found.fit, found.users, found.fit_each, found.predict_each) == ("204", "500 + 2,000", "402", "30.5")
    row = next(row for row in summary_rows(results) if row["arm"] == "LLM + iALS")
    assert row["measures"][COST] == "402 + 30.5"
    costs["llm"]["cpu_seconds_per_1000_users"] = None
    found = cost_text_of(parse(results), "llm+ials")
    assert found is not None and found.predict_each == "n/a", "half of a cost is not the cost"
    assert cost_text_of(parse(results), "llm+placebo") is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0312, "0.031"), (1.254, "1.25"), (12.46, "12.5"), (1234.5, "1,234"), (None, "n/a")]
)
def test_costs_have_as_many_digits_as_mean_something(seconds: float | None, said: str) -> None:
    assert cpu_text(seconds) == said


def test_few_sources_are_drawn_and_all_are_in_the_tables() -> None:
    results = example()
    for i in range(20):
        results["predictors"][f"source_{i}"] = results["predictors"]["popularity"]
    typed = parse(results)
    assert set(plotted(typed)) == {"llm", "cooccurrence", "popularity", "placebo", "llm+ials", "cooccurrence+sequence"}
    assert all(f"source {i}</th>" in render(typed) for i in range(20))
