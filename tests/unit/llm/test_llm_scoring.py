"""The k likeliest are those of the whole distribution, ties included, however many users there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.llm import scoring
from ml.llm.head import AdvertiserHead
from ml.llm.scoring import CatalogueScores, _top


@given(arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 12)), elements=st.sampled_from([0, 1, 2, 3.5])))
@settings(deadline=None)
def test_of_equal_values_the_lower_column_comes_first(logits: np.ndarray) -> None:
    import torch

    for k in range(1, logits.shape[1] + 1):
        values, columns = _top(torch.from_numpy(logits), k)
        expected = np.argsort(-logits, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(columns.numpy(), expected)
        np.testing.assert_array_equal(values.numpy(), np.take_along_axis(logits, expected, axis=1))


@pytest.fixture
def head() -> AdvertiserHead:
    rng = np.random.default_rng(0)
    text = rng.normal(size=(30, 8)).astype(np.float32)
    text[20:] = text[:10]  # advertisers that nothing tells apart
    counts = rng.integers(0, 9, 30)
    counts[20:] = counts[:10]
    return AdvertiserHead.start(text, rng.normal(size=8).astype(np.float32), counts)


def test_likeliest_are_the_head_of_the_distribution(head: AdvertiserHead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "USERS_AT_ONCE", 7)
    scores, hidden = CatalogueScores(head, 1.7), np.random.default_rng(1).normal(size=(25, 8)).astype(np.float32)
    whole = scores.distribution(hidden)
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-12)
    columns, probability = scores.likeliest(hidden, 11)
    np.testing.assert_allclose(probability, np.take_along_axis(whole, columns, axis=1), rtol=1e-5)
    np.testing.assert_allclose(probability, -np.sort(-whole, axis=1)[:, :11], rtol=1e-5)
    assert all(len(set(row)) == 11 for row in columns.tolist())


def test_of_nobody(head: AdvertiserHead) -> None:
    scores, nobody = CatalogueScores(head, 1.0), np.zeros((0, 8), dtype=np.float32)
    assert scores.distribution(nobody).shape == (0, 30)
    assert scores.likeliest(nobody, 4)[0].shape == (0, 4)
