"""ials and itemknn: the contract, and what their definitions promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from ml.predictors.ials import Ials, IalsSettings
from ml.predictors.itemknn import ItemKnn, ItemKnnSettings
from tests.contracts.predictor_contract import PredictorContract, build_examples, checkerboard_world


class TestIals(PredictorContract):
    wins = ("fashion", "habit", "checkerboard")

    def make(self) -> Ials:
        return Ials(IalsSettings(factors=8))


class TestItemKnn(PredictorContract):
    wins = ("fashion", "habit", "checkerboard")

    def make(self) -> ItemKnn:
        return ItemKnn()


def matrix(rng: np.random.Generator) -> sparse.csr_matrix:
    return sparse.csr_matrix((rng.random((60, 9)) < 0.3).astype(float))


def test_a_user_is_solved_anew_from_his_own_past() -> None:
    """x_u = (Y'C_u Y + reg I)^-1 Y'C_u p_u with confidence alpha on what was bought, 1 elsewhere (Hu et al., eq. 4)."""
    source, bought = (
        Ials(IalsSettings(factors=4, confidence=7.0, regularisation=0.5, own_share=1)),
        matrix(np.random.default_rng(0)),
    )
    model = source.learn(bought, None)
    items = model.item_factors.astype(float)
    past = bought[3].toarray()[0]
    confidence = np.where(past > 0, 7.0, 1.0)
    user = np.linalg.solve(items.T * confidence @ items + 0.5 * np.eye(4), items.T @ (confidence * past))
    np.testing.assert_allclose(source.score(model, bought[3])[0], items @ user, atol=1e-3)


def test_neighbours_are_the_nearest_by_cosine_and_never_oneself() -> None:
    source, bought = ItemKnn(ItemKnnSettings(neighbours=3, weighting="cosine")), matrix(np.random.default_rng(0))
    found = source.learn(bought, None).toarray()
    x = bought.toarray() / np.linalg.norm(bought.toarray(), axis=0)
    cosine = x.T @ x - np.eye(9)
    for advertiser in range(9):
        nearest = np.sort(cosine[advertiser])[::-1][:3]
        np.testing.assert_allclose(np.sort(found[advertiser])[::-1][:3], nearest, atol=1e-6)
        assert found[advertiser, advertiser] == 0


@pytest.mark.parametrize("weighting", ["cosine", "bm25"])
def test_other_weightings_find_the_group_too(weighting: str) -> None:
    examples, following = checkerboard_world(200, np.random.default_rng(0))
    source = ItemKnn(ItemKnnSettings(weighting=weighting)).fit(examples)
    table = source.predict(examples.contexts, 6)
    chosen = table["advertiser_id"].to_numpy().reshape(len(following), 6)
    assert (chosen == source.advertiser_ids[following][:, None]).any(axis=1).mean() > 0.9


def test_the_recent_past_counts_more_where_it_decays() -> None:
    past = [[0, 4, 8, 1, 5, 9]] * 40 + [[0, 4, 8, 12]] * 40 + [[1, 5, 9, 13]] * 40
    examples = build_examples(past)
    plain, decayed = (ItemKnn(ItemKnnSettings(half_life_days=days, own_bonus=0)).fit(examples) for days in (None, 0.5))
    user = examples.contexts.take(np.array([0]))
    assert decayed.probabilities(user)[0, 13] > decayed.probabilities(user)[0, 12]
    assert plain.probabilities(user)[0, 13] == pytest.approx(plain.probabilities(user)[0, 12], rel=1e-3)
