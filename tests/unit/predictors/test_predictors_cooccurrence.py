"""cooccurrence: EASE against its definition, calibration, fallback."""

from __future__ import annotations

import numpy as np
import pytest

from ml.predictors.cooccurrence import Cooccurrence, CooccurrenceSettings, ease
from ml.predictors.popularity import Popularity
from ml.predictors.scores import calibrate, to_probabilities
from tests.contracts.predictor_contract import PredictorContract, build_examples, checkerboard_world


class TestContract(PredictorContract):
    wins = ("fashion", "habit", "checkerboard")

    def make(self) -> Cooccurrence:
        return Cooccurrence()


def test_ease_solves_its_own_least_squares_problem() -> None:
    """Column a of B is the ridge regression of column a on all OTHER columns."""
    rng = np.random.default_rng(0)
    x = (rng.random((80, 7)) < 0.3).astype(float)
    weights = ease(x.T @ x, 3.0)
    assert np.all(np.diag(weights) == 0)
    for a in range(7):
        others = np.delete(np.arange(7), a)
        solved = np.linalg.solve(x[:, others].T @ x[:, others] + 3.0 * np.eye(6), x[:, others].T @ x[:, a])
        np.testing.assert_allclose(weights[others, a], solved, atol=1e-10)


def test_calibration_recovers_the_sharpness_that_made_the_targets() -> None:
    rng = np.random.default_rng(1)
    scores, popular = rng.random((4000, 12)), np.full(12, 1 / 12)
    truth = to_probabilities(scores, popular, 2.5, 0.05)
    target = (rng.random((4000, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    found = calibrate(scores, target, popular)
    assert found.sharpness == pytest.approx(2.5, rel=0.15)
    assert found.log_loss < np.log(12)


def test_probabilities_are_honest_in_the_checkerboard() -> None:
    """Four of six taken: the next is one of the two left, and rank 1 says about 1/2."""
    examples, following = checkerboard_world(2000, np.random.default_rng(2))
    table = Cooccurrence(CooccurrenceSettings(own_bonus=0)).fit(examples).predict(examples.contexts, 6)
    truth = examples.catalogue["advertiser_id"].to_numpy()[following]
    chosen = table["advertiser_id"].to_numpy().reshape(-1, 6)
    within = table["probability"].to_numpy().reshape(-1, 6).sum(axis=1).mean()
    assert (chosen == truth[:, None]).any(axis=1).mean() > 0.95
    assert within == pytest.approx(1, abs=0.1)


def test_without_history_it_is_popularity() -> None:
    examples, _ = checkerboard_world(80, np.random.default_rng(0))
    nobody = build_examples([[], []]).contexts
    mine, popular = (source.fit(examples).predict(nobody, 24) for source in (Cooccurrence(), Popularity()))
    assert list(mine["advertiser_id"]) == list(popular["advertiser_id"])
    np.testing.assert_allclose(mine["probability"], popular["probability"])


def test_own_conversions_are_preferred_by_the_bonus() -> None:
    examples, _ = checkerboard_world(200, np.random.default_rng(0))
    settings = [CooccurrenceSettings(own_bonus=bonus, regularisations=(100.0,)) for bonus in (0.0, 5.0)]
    own = []
    for setting in settings:
        table = Cooccurrence(setting).fit(examples).predict(examples.contexts, 1)
        pairs = set(zip(table["user_id"], table["advertiser_id"], strict=True))
        events = examples.contexts.events
        past = set(zip(examples.contexts.user_ids[events["user"]], events["advertiser_id"], strict=True))
        own.append(len(pairs & past) / len(pairs))
    assert own[1] == 1.0
    assert own[0] < 0.5


def test_nobody_converts_twice_is_a_stated_case() -> None:
    examples = build_examples([[i % 24] for i in range(50)])
    predictor = Cooccurrence().fit(examples)
    assert predictor.calibration.targets == 0
    assert predictor.option == max(predictor.settings.regularisations)
    assert len(predictor.predict(examples.contexts, 3)) == 150


def test_held_out_users_do_not_depend_on_their_neighbours() -> None:
    predictor, ids = Cooccurrence(), np.array([f"user {i}" for i in range(4000)])
    mask = predictor._held_out(ids)
    assert mask.mean() == pytest.approx(0.2, abs=0.03)
    np.testing.assert_array_equal(predictor._held_out(ids[::3]), mask[::3])
