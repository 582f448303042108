"""What the ranker leans on: the sentence follows the interval, the axes keep the order, every arm has its line."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import example

from ml.report.importance import RootScale, importance_panels, importance_sentence
from ml.report.importance_figure import importance_figure
from ml.report.schema import Results, parse


def with_priors(drop: dict[str, float] | None, arm: str = "llm") -> Results:
    results = example()
    for group in results["ranker_importance_groups"][arm]:
        if group["group"] == "priors":
            group |= {"auc_drop": drop, "gain_share": 0.123}
    return parse(results)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.001, 0.009, "depends on them"),
        (-0.002, 0.004, "no dependence of the order on them was shown"),
        (-0.008, -0.001, "ordered better without"),
    ],
)
def test_the_sentence_says_what_the_interval_says(low: float, high: float, said: str) -> None:
    sentence = importance_sentence(with_priors({"value": (low + high) / 2, "low": low, "high": high}))
    assert said in sentence and "12.3" in sentence
    assert sentence.count("of AUC") == 2, "the placebo's priors stand beside the LLM's"


def test_without_priors_nothing_is_said_of_them() -> None:
    assert importance_sentence(with_priors(None)) == ""
    results = example() | {"ranker_importance": {}, "ranker_importance_groups": {}, "ranker_importance_sample": None}
    assert importance_panels(parse(results).ranker_importance, {}) == []


numbers = st.floats(-1, 1, allow_nan=False).map(lambda x: round(x, 5))


@given(st.lists(numbers, min_size=1, max_size=20))
def test_axes_keep_order_and_contain_every_value(values: list[float]) -> None:
    scale = RootScale.over(values)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places) and all(0 <= place <= 100 for place in places)
    ticks = scale.ticks(20)
    assert ticks[0] == 0 and all(scale.at(b) - scale.at(a) >= 20 for a, b in pairwise(ticks))


def test_features_with_most_gain_come_first_and_the_arm_without_priors_lacks_them() -> None:
    results = parse(example())
    groups, features = importance_panels(results.ranker_importance, results.ranker_importance_groups)
    assert {row.name for row in groups.rows} == {g.group for g in results.ranker_importance_groups["llm"]}
    most: list[Any] = [max(g for g in row.gains.values() if g is not None) for row in features.rows]
    assert most == sorted(most, reverse=True)
    priors = next(row for row in groups.rows if row.name == "priors")
    assert (priors.gains["none"], priors.drops["none"]) == (None, None) and priors.drops["llm"] is not None


def test_the_figure_has_a_name_for_every_row() -> None:
    results = example()
    figure = importance_figure(results["ranker_importance"], results["ranker_importance_groups"])
    shown = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert {"priors", "prior_probability", "surface"} <= set(shown)
