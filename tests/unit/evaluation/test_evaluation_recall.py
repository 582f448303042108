"""recall: ranks against a plain loop; misses that must count."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings
from ml.evaluation.recall import METRICS, ranks, recall, usual_pairs
from ml.predictors.predictions import from_probabilities

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
    assert list(ranks(table, labels)) == [4, np.inf, 1, np.inf]


def test_two_labels_of_a_user_are_refused(sample) -> None:  # type: ignore[no-untyped-def]
    tables, labels, _ = sample
    with pytest.raises(BadInput, match="several labels"):
        recall(tables, pd.concat([labels, labels]), np.ones(100, bool), IDS, rng=np.random.default_rng(0))


def test_pairs_need_their_sources() -> None:
    assert usual_pairs(["popularity", "placebo"]) == [("placebo", "popularity")]
    assert usual_pairs(["llm", "placebo"]) == [("llm", "placebo")]
    assert usual_pairs(["popularity"]) == []
