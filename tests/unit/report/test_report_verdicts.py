"""A verdict follows from its interval and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import difference, example

from ml.report.page import render
from ml.report.schema import Difference, parse
from ml.report.summary import summary_rows, verdicts
from ml.report.verdict import Outcome, headline, judge, outcome_of

HIGHER, LOWER = ("recall@10", "new_recall@5", "advertiser_recall", "auc"), ("log_loss", "normalized_entropy", "ece")
size = st.floats(1e-9, 10)
START = {"win": "Better", "loss": "Worse", "tie": "No difference shown"}


def interval_of(metric: str, low: float, high: float) -> Difference:
    middle = (low + high) / 2
    return Difference(
        metric=metric, arm="llm", against="x", value=middle, low=low, high=high, minimum_effect=0.1, p_holm=0.01
    )


@given(st.sampled_from(HIGHER), size, size)
def test_a_win_is_an_interval_wholly_on_the_better_side(metric: str, near: float, width: float) -> None:
    assert outcome_of(interval_of(metric, near, near + width)) == "win"
    assert outcome_of(interval_of(metric, -near - width, -near)) == "loss"


@given(st.sampled_from(LOWER), size, size)
def test_where_lower_is_better_the_sides_are_swapped(metric: str, near: float, width: float) -> None:
    assert outcome_of(interval_of(metric, near, near + width)) == "loss"
    assert outcome_of(interval_of(metric, -near - width, -near)) == "win"


@given(st.sampled_from(HIGHER + LOWER), st.floats(0, 10), st.floats(0, 10))
def test_an_interval_that_touches_zero_is_a_tie(metric: str, below: float, above: float) -> None:
    assert outcome_of(interval_of(metric, -below, above)) == "tie"


def test_what_was_not_measured_has_no_outcome() -> None:
    nothing = Difference(
        metric="ece", arm="llm", against="none", value=None, low=None, high=None, minimum_effect=None, p_holm=None
    )
    assert outcome_of(nothing) == "unknown"
    assert outcome_of(None) == "unknown"


def with_differences(outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """The example with the llm's outcome on each part set by construction."""
    results = example()
    shift = {"win": 0.05, "tie": 0.001, "loss": -0.05}
    for key, metrics in (
        ("predictor_differences", ("recall@10", "new_recall@10")),
        ("retrieval_differences", ("advertiser_recall",)),
        ("ranker_differences", ("auc",)),
    ):
        part = key.partition("_")[0]
        results[key] = [
            difference(d["metric"], d["arm"], d["against"], shift[outcomes[part]], 0.01)
            if d["metric"] in metrics and d["arm"] == "llm"
            else d
            for d in results[key]
        ]
    return results


outcome = st.sampled_from(["win", "tie", "loss"])


@settings(max_examples=30)
@given(st.fixed_dictionaries({"predictor": outcome, "retrieval": outcome, "ranker": outcome}))
def test_words_of_sentence_badge_and_headline_follow_the_interval(outcomes: dict[str, Outcome]) -> None:
    results = parse(with_differences(outcomes))
    for verdict in judge(results):
        assert verdict.sentence.startswith(START[verdict.outcome])
        assert "could have shown an effect of" in verdict.sentence
        if verdict.topic in outcomes:
            assert verdict.outcome == outcomes[verdict.topic]
    said = headline(results)
    words = {
        "predictor": {"win": "better than co-occ", "tie": "no measurably better or worse", "loss": "less well than"},
        "retrieval": {"win": "widens", "tie": "not measurably change", "loss": "costs"},
        "ranker": {"win": "improves", "tie": "not measurably move", "loss": "harms"},
    }
    for part, by_outcome in words.items():
        for name, word in by_outcome.items():
            assert (word in said) == (name == outcomes[part])
    for line, verdict in zip(verdicts(results), judge(results), strict=True):
        assert line.split()[0] == ("HOLDS" if verdict.is_control else verdict.outcome.upper())


@pytest.mark.parametrize("rival", ["popularity", "repeat_last", "cooccurrence"])
def test_the_llm_is_judged_against_the_best_other_source_never_the_placebo(rival: str) -> None:
    results = example()
    results["predictors"]["placebo"]["recall@10"] = {"value": 0.99, "low": 0.98, "high": 1.0}
    results["predictors"][rival]["recall@10"] = {"value": 0.9, "low": 0.88, "high": 0.92}
    first = judge(parse(results))[0]
    assert first.difference is not None
    assert first.difference.against == rival
    rivals = [v.difference.against for v in judge(parse(results)) if v.topic == "predictor" and v.difference]
    assert rivals == list(dict.fromkeys([rival, "popularity"]))


def test_a_missing_difference_is_said_to_be_missing() -> None:
    results = example()
    results["predictor_differences"] = []
    first = judge(parse(results))[0]
    assert (first.outcome, first.sentence) == ("unknown", "Not measured in this run.")
    assert "forecasts" not in headline(parse(results))


def test_a_run_without_any_difference_has_an_honest_headline() -> None:
    results = example() | {"predictor_differences": [], "retrieval_differences": [], "ranker_differences": []}
    assert headline(parse(results)) == "Nothing about the LLM was measured in this run."


def test_an_auc_gain_too_good_to_be_true_carries_a_warning() -> None:
    by_gain = {}
    for gain in (0.004, 0.08):
        results = example()
        results["ranker_differences"] = [difference("auc", "llm", "none", gain, 0.001)]
        by_gain[gain] = next(v.sentence for v in judge(parse(results)) if v.topic == "ranker")
    assert "leakage" in by_gain[0.08]
    assert "leakage" not in by_gain[0.004]


@pytest.mark.parametrize("p, said", [(0.04, False), (0.06, True)])
def test_a_win_that_many_comparisons_explain_says_so(p: float, said: bool) -> None:
    results = with_differences({"predictor": "win", "retrieval": "win", "ranker": "win"})
    for row in results["ranker_differences"]:
        row["p_holm"] = p
    found = next(verdict for verdict in judge(parse(results)) if verdict.topic == "ranker")
    assert found.outcome == "win"
    assert ("not clear: p 0.060" in found.sentence) == said


def test_a_placebo_that_wins_takes_the_shine_off_the_headline() -> None:
    results = example()
    assert "shuffled" not in headline(parse(results))
    results["ranker_differences"] = [
        difference("auc", "placebo", "none", 0.02, 0.001) if (d["metric"], d["arm"]) == ("auc", "placebo") else d
        for d in results["ranker_differences"]
    ]
    assert "improves the ranker (but so do shuffled priors)" in headline(parse(results))
    assert "The control failed" in render(parse(results))


def test_summary_has_a_row_for_every_arm_and_equal_measures_in_a_part() -> None:
    results = example()
    rows = summary_rows(results)
    for part, arms in (("predictors", 11), ("retrieval", 4), ("ranker", 3)):
        mine = [row["measures"] for row in rows if row["part"] == part]
        assert len(mine) == arms
        assert len({tuple(m) for m in mine}) == 1
    llm = next(row for row in rows if row["arm"] == "LLM")
    assert llm["measures"]["recall@10"].startswith(f"{100 * results['predictors']['llm']['recall@10']['value']:.1f}")
