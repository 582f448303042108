"""repeat_last: decay, estimated mixing weights, honest probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.predictors.popularity import Popularity
from ml.predictors.repeat_last import LENGTHS, RepeatLast, RepeatLastSettings, length_class, mixing_weights
from tests.contracts.predictor_contract import PredictorContract, build_examples, habit_world


class TestContract(PredictorContract):
    wins = ("fashion", "habit")

    def make(self) -> RepeatLast:
        return RepeatLast()


def test_newer_weighs_more_and_frequent_more_than_single() -> None:
    examples = build_examples([[0, 1], [2, 2, 2, 3], [5, 5], [6, 6]])
    predictor = RepeatLast(RepeatLastSettings(half_life_days=2)).fit(examples)
    table = predictor.predict(examples.contexts, 2).groupby("user_id")["advertiser_id"].agg(list)
    assert table["u0000"] == ["a01", "a00"]
    assert table["u0001"] == ["a02", "a03"]


def test_the_history_limit_forgets_the_oldest() -> None:
    examples = build_examples([[0, 1], [2, 2], [3, 3]])
    predictor = RepeatLast(RepeatLastSettings(history_limit=1, half_life_days=1e9)).fit(examples)
    table = predictor.predict(examples.contexts, 24)
    mine = table[table["user_id"] == "u0000"].set_index("advertiser_id")["probability"]
    assert mine["a01"] > 0.3
    assert mine["a00"] < 0.2


def test_without_history_it_is_popularity() -> None:
    examples, _ = habit_world(80, np.random.default_rng(0))
    nobody = build_examples([[], []]).contexts
    mine = RepeatLast().fit(examples).predict(nobody, 24)
    popular = Popularity().fit(examples).predict(nobody, 24)
    assert list(mine["advertiser_id"]) == list(popular["advertiser_id"])
    np.testing.assert_allclose(mine["probability"], popular["probability"])


def test_probabilities_are_honest_in_a_world_of_habit() -> None:
    """Nine of ten conversions are the user's own: after five of them the first rank must say so."""
    examples, following = habit_world(1500, np.random.default_rng(3))
    top = RepeatLast(RepeatLastSettings(half_life_days=1e9)).fit(examples).predict(examples.contexts, 1)
    truth = examples.catalogue["advertiser_id"].to_numpy()[following]
    assert top["probability"].mean() == pytest.approx((top["advertiser_id"].to_numpy() == truth).mean(), abs=0.1)


def test_no_habit_no_weight() -> None:
    """Conversions at random: the own past must get next to nothing."""
    rng = np.random.default_rng(1)
    examples = build_examples([list(rng.integers(24, size=4)) for _ in range(800)])
    assert RepeatLast().fit(examples).own_weight[:2].max() < 0.1


@given(st.floats(0.05, 0.95), st.integers(0, 2**16))
@settings(max_examples=15, deadline=None)
def test_mixing_weights_find_the_truth(weight: float, seed: int) -> None:
    """Targets drawn from a known mixture over 20 outcomes: the weight is recovered within its error."""
    rng = np.random.default_rng(seed)
    own, popular = rng.dirichlet(np.full(20, 0.1)), rng.dirichlet(np.full(20, 5.0))
    target = rng.choice(20, size=6000, p=weight * own + (1 - weight) * popular)
    found = mixing_weights(own[target], popular[target], np.full(6000, 2))
    distance = np.abs(own - popular).sum() / 2
    assert found[2] == pytest.approx(weight, abs=0.05 / distance)
    assert list(found[:2]) == [0.5, 0.5]  # no target: what the class before it says, at first 1/2
    np.testing.assert_allclose(found[3:], found[2])


def test_length_classes() -> None:
    lengths = np.array([0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 500])
    spans = np.column_stack([np.zeros_like(lengths), lengths])
    assert list(length_class(spans)) == [0, 0, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert length_class(spans).max() < LENGTHS
