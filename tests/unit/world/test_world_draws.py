"""Draws by key are the draws they say they are, and depend on nothing but their key."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml.world.draws import gumbel, key, normal, uniform, uniform32
from ml.world.memory import PairMemory

KEYS = key(3, np.arange(400)[:, None], np.arange(500))


def test_uniforms_and_normals_have_their_moments_and_neighbours_are_independent() -> None:
    for drawn in (uniform(KEYS), uniform32(KEYS)):
        assert drawn.min() >= 0 and drawn.max() < 1
        assert abs(drawn.mean() - 0.5) < 0.004 and abs(drawn.var() - 1 / 12) < 0.001
        assert np.abs(np.histogram(drawn, 50)[0] - 4000).max() < 320
        for other in (np.roll(drawn, 1, 0), np.roll(drawn, 1, 1)):
            assert abs(np.corrcoef(drawn.ravel(), other.ravel())[0, 1]) < 0.01
    columns = np.stack([normal(KEYS, which).ravel() for which in range(4)])
    assert np.abs(columns.mean(axis=1)).max() < 0.01 and np.abs(columns.std(axis=1) - 1).max() < 0.01
    assert np.abs(np.corrcoef(columns) - np.eye(4)).max() < 0.01
    assert abs((np.abs(columns) > 1.96).mean() - 0.05) < 0.003


def test_the_greatest_of_weight_plus_gumbel_draws_in_proportion() -> None:
    weight = np.array([0.1, 0.6, 0.3])
    drawn = np.argmax(np.log(weight) + gumbel(key(1, np.arange(40_000)[:, None], np.arange(3))), axis=1)
    assert np.allclose(np.bincount(drawn) / 40_000, weight, atol=0.01)


@given(st.lists(st.tuples(st.integers(-50, 2**40), st.integers(0, 50)), min_size=1, max_size=20), st.randoms())
def test_a_draw_is_the_same_in_any_company(pairs: list[tuple[int, int]], order: object) -> None:
    a, b = np.array(pairs).T
    alone = [int(key(9, int(x), int(y))) for x, y in pairs]
    assert key(9, a, b).tolist() == alone
    assert len(set(alone)) == len(set(pairs))


def test_parts_of_a_key_have_places() -> None:
    assert int(key(1, 2)) != int(key(2, 1)) and int(key(1)) != int(key(1, 0)) != int(key(0, 1))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.3, 0.8])), max_size=20))
def test_a_memory_of_pairs_adds_up_and_fades_like_a_matrix(events: list[tuple[int, int, float]]) -> None:
    memory, matrix = PairMemory(4, 0.5), np.zeros((5, 4))
    for turn, (user, advertiser, amount) in enumerate(events):
        memory.add(np.array([user]), np.array([advertiser]), amount)
        matrix[user, advertiser] += amount
        if turn % 5 == 4:
            memory.fade()
            matrix *= 0.5
    assert np.allclose(memory.of(np.arange(5)[:, None], np.arange(4)), matrix, atol=2e-3)
