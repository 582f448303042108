"""Recall, NDCG and MRR by groups: against a plain loop; misses that must count."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings, Resamples
from ml.evaluation.ranked import (
    GROUPS,
    METRICS,
    RARE_SHARE,
    exclusive_hits,
    exclusive_ratio,
    groups_of,
    judge,
    ranks_in_matrix,
    ranks_in_table,
    rare_advertisers,
    usual_pairs,
)
from ml.evaluation.results import Evaluation
from ml.predictors.predictions import from_probabilities
from tests.contracts.predictor_contract import build_examples

QUICK = EvaluationSettings(resamples=100)
IDS = np.array([f"a{i:02d}" for i in range(30)])


def predicted(order: np.ndarray, users: list[str], k: int = 20) -> pd.DataFrame:
    """Predictions that rank advertisers as the rows of `order` do."""
    probabilities = np.zeros(order.shape)
    np.put_along_axis(probabilities, order, np.linspace(0.06, 0.0, order.shape[1])[None, :], axis=1)
    return from_probabilities(
        probabilities,
        user_ids=np.array(users),
        advertiser_ids=IDS,
        day=date(2026, 1, 1),
        source="s",
        model_version="v",
        k=k,
    )


def recall(  # type: ignore[no-untyped-def]
    tables: dict[str, pd.DataFrame], labels: pd.DataFrame, is_new: np.ndarray, ids: np.ndarray, *, rng, settings=QUICK
) -> Evaluation:
    """Judge tables: groups new and catalogue as asked, the others everybody."""
    everybody = np.ones(len(labels), dtype=bool)
    inside = np.isin(labels["advertiser_id"], ids)
    groups = {"": everybody, "new": is_new, "short": everybody, "rare": everybody, "catalogue": inside}
    ranks = {name: ranks_in_table(table, labels) for name, table in tables.items()}
    return judge(ranks, groups, rng=rng, settings=settings)


@pytest.fixture
def sample() -> tuple[dict[str, pd.DataFrame], pd.DataFrame, np.ndarray]:
    """50 users; source "first" ranks a00 first for everybody, "truth" ranks each target first."""
    rng = np.random.default_rng(0)
    users = [f"u{i}" for i in range(50)]
    target = rng.integers(30, size=50)
    fixed = np.tile(np.arange(30), (50, 1))
    truth = np.stack([np.append(t, np.delete(np.arange(30), t)) for t in target])
    labels = pd.DataFrame({"user_id": users, "advertiser_id": IDS[target]})
    return {"first": predicted(fixed, users), "truth": predicted(truth, users)}, labels, target


def test_recall_is_the_share_of_targets_among_the_first_k(sample) -> None:  # type: ignore[no-untyped-def]
    tables, labels, target = sample
    is_new = np.arange(50) % 3 == 0
    found = recall(tables, labels, is_new, IDS, rng=np.random.default_rng(0), settings=QUICK).metrics
    for k in (1, 5, 10, 20):
        gains = [1 / np.log2(2 + t) if t < k else 0 for t in target]
        assert found["first"][f"ndcg@{k}"].value == pytest.approx(np.mean(gains))
        reciprocal = [1 / (1 + t) if t < k else 0 for t in target]
        assert found["first"][f"mrr@{k}"].value == pytest.approx(np.mean(reciprocal))
        assert found["first"][f"recall@{k}"].value == pytest.approx((target < k).mean())
        assert found["first"][f"new_recall@{k}"].value == pytest.approx((target < k)[is_new].mean())
        assert found["truth"][f"recall@{k}"].value == 1
    assert set(found["first"]) == set(METRICS)


def test_targets_outside_the_catalogue_are_misses_and_shown_beside(sample) -> None:  # type: ignore[no-untyped-def]
    tables, labels, _ = sample
    labels.loc[:9, "advertiser_id"] = "elsewhere"
    found = recall(tables, labels, np.ones(50, bool), IDS, rng=np.random.default_rng(0), settings=QUICK).metrics
    assert found["truth"]["recall@1"].value == pytest.approx(0.8)
    assert found["truth"]["catalogue_recall@1"].value == 1


def test_a_user_without_predictions_is_a_miss(sample) -> None:  # type: ignore[no-untyped-def]
    tables, labels, _ = sample
    tables["truth"] = tables["truth"][tables["truth"]["user_id"].isin([f"u{i}" for i in range(40)])]
    found = recall(tables, labels, np.ones(50, bool), IDS, rng=np.random.default_rng(0), settings=QUICK).metrics
    assert found["truth"]["recall@20"].value == pytest.approx(0.8)


def test_differences_are_paired_and_of_the_usual_pairs(sample) -> None:  # type: ignore[no-untyped-def]
    tables, labels, _ = sample
    tables = {"popularity": tables["first"], "llm": tables["truth"], "placebo": tables["first"]}
    found = recall(tables, labels, np.ones(50, bool), IDS, rng=np.random.default_rng(0), settings=QUICK)
    pairs = {(d.arm, d.against) for d in found.differences}
    assert pairs == {("llm", "popularity"), ("llm", "placebo"), ("placebo", "popularity")}
    equal = [d for d in found.differences if d.arm == "placebo"]
    assert all((d.value, d.low, d.high) == (0, 0, 0) for d in equal)
    assert next(d for d in found.differences if d.metric == "recall@1").low > 0


def test_no_new_target_is_not_a_recall_of_zero(sample) -> None:  # type: ignore[no-untyped-def]
    tables, labels, _ = sample
    found = recall(tables, labels, np.zeros(50, bool), IDS, rng=np.random.default_rng(0), settings=QUICK)
    assert found.metrics_json()["truth"]["new_recall@10"] == {"value": None, "low": None, "high": None}


def test_same_seed_same_numbers(sample) -> None:  # type: ignore[no-untyped-def]
    tables, labels, _ = sample
    one, two = (recall(tables, labels, np.ones(50, bool), IDS, rng=np.random.default_rng(4), settings=QUICK)
                for _ in range(2))  # fmt: skip
    assert one == two


def test_ranks_follow_the_labels_order() -> None:
    table = predicted(np.tile(np.arange(30), (3, 1)), ["x", "y", "z"], k=4)
    labels = pd.DataFrame({"user_id": ["z", "nobody", "x", "y"], "advertiser_id": ["a03", "a00", "a00", "a04"]})
    assert list(ranks_in_table(table, labels)) == [4, np.inf, 1, np.inf]


def test_two_labels_of_a_user_are_refused(sample) -> None:  # type: ignore[no-untyped-def]
    tables, labels, _ = sample
    with pytest.raises(BadInput, match="several labels"):
        recall(tables, pd.concat([labels, labels]), np.ones(100, bool), IDS, rng=np.random.default_rng(0))


def test_pairs_need_their_sources() -> None:
    assert usual_pairs(["popularity", "placebo"]) == [("placebo", "popularity")]
    assert usual_pairs(["llm", "placebo"]) == [("llm", "placebo")]
    assert usual_pairs(["popularity"]) == []
    blended = usual_pairs(["llm", "ials", "llm+ials", "ials+sequence"])
    assert blended == [("llm", "ials"), ("llm+ials", "ials+sequence")]


def test_groups_are_what_they_are_called() -> None:
    contexts = build_examples([[1], [1, 2, 3], [1, 2, 3, 4], []]).contexts
    contexts = contexts.take(np.array([0, 2, 3]))  # u0 has 1 conversion, u2 4, u3 none
    catalogue = pd.DataFrame({"advertiser_id": ["a00", "a01", "a02"], "conversions": [1, 8, 1]})
    labels = pd.DataFrame({"user_id": contexts.user_ids[::-1], "advertiser_id": ["a00", "a01", "elsewhere"]})
    groups = groups_of(contexts, labels, np.array([True, False, True]), catalogue)
    assert {name: list(mask) for name, mask in groups.items()} == {
        "": [True, True, True],
        "new": [True, False, True],
        "short": [True, False, True],
        "rare": [True, False, False],
        "catalogue": [True, True, False],
    }
    assert list(rare_advertisers(catalogue)) == ["a00", "a02"]


def test_ranks_in_a_matrix_are_those_in_its_table() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.integers(0, 6, size=(40, 30)) / 200
    users = [f"u{i}" for i in range(40)]
    table = from_probabilities(
        probabilities,
        user_ids=np.array(users),
        advertiser_ids=IDS,
        day=date(2026, 1, 1),
        source="s",
        model_version="v",
        k=30,
    )
    column = rng.integers(-1, 30, size=40)
    names = np.where(column >= 0, IDS[column], "elsewhere")
    labels = pd.DataFrame({"user_id": users, "advertiser_id": names})
    np.testing.assert_array_equal(ranks_in_matrix(probabilities, column), ranks_in_table(table, labels))


def test_exclusive_hits_are_those_that_nobody_else_has() -> None:
    ranks = {"a": np.array([1, 5, 30, 2]), "b": np.array([1, 25, 1, np.inf]), "c": np.array([40, 40, 40, 2.0])}
    resamples = Resamples(4, 100, np.random.default_rng(0))
    assert exclusive_hits(ranks, "a", ["b"], k=20, resamples=resamples).value == pytest.approx(2 / 3)
    assert exclusive_hits(ranks, "a", ["b", "c"], k=20, resamples=resamples).value == pytest.approx(1 / 3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_every_measure_is_what_a_plain_loop_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    ranks = np.where(rng.random(n) < 0.2, np.inf, rng.integers(1, 70, n).astype(float))
    groups = {name: rng.random(n) < 0.6 for name in GROUPS} | {"": np.ones(n, dtype=bool)}
    found = judge({"s": ranks}, groups, rng=rng, settings=QUICK).metrics["s"]
    assert set(found) == set(METRICS)
    gains = {"recall": lambda r: 1.0, "ndcg": lambda r: 1 / math.log2(r + 1), "mrr": lambda r: 1 / r}
    for metric, interval in found.items():
        name, _, k = metric.partition("@")
        group, _, kind = name.rpartition("_")
        mine = [
            gains[kind](r) if r <= int(k) else 0.0 for r, inside in zip(ranks, groups[group], strict=True) if inside
        ]
        expected = sum(mine) / len(mine) if mine else math.nan
        assert interval.value == pytest.approx(expected, nan_ok=True, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40))
def test_the_rare_are_the_smallest_and_hold_a_fifth_at_most(conversions: list[int]) -> None:
    catalogue = pd.DataFrame(
        {"advertiser_id": [f"a{i:02d}" for i in range(len(conversions))], "conversions": conversions}
    )
    rare = catalogue["advertiser_id"].isin(rare_advertisers(catalogue))
    inside, outside = catalogue.loc[rare, "conversions"], catalogue.loc[~rare, "conversions"]
    assert inside.sum() <= RARE_SHARE * sum(conversions)
    assert inside.max() <= outside.min() if len(inside) and len(outside) else True
    if len(outside):
        assert inside.sum() + outside.min() > RARE_SHARE * sum(conversions), "the next one would be too much"


def test_exclusive_shares_are_compared_on_the_same_draws() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(400) < 0.5
    llm, twin = base ^ (rng.random(400) < 0.3), base ^ (rng.random(400) < 0.1)
    ranks = {name: np.where(hits, 1.0, np.inf) for name, hits in (("base", base), ("llm", llm), ("twin", twin))}
    resamples = Resamples(400, 200, np.random.default_rng(1))
    found = exclusive_ratio(ranks, "llm", "twin", ["base"], k=20, resamples=resamples)
    one, two = (exclusive_hits(ranks, name, ["base"], k=20, resamples=resamples).value for name in ("llm", "twin"))
    assert found.value == pytest.approx(one / two)
    assert 1 < found.low < found.value < found.high
    same = exclusive_ratio(ranks | {"llm": ranks["twin"]}, "llm", "twin", ["base"], k=20, resamples=resamples)
    assert (same.value, same.low, same.high) == (1, 1, 1)
