"""The head: what it scores before training, and that a lost advertiser is one never trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.llm.head import AdvertiserHead, log_popularity
from ml.llm.validation import TEMPERATURES, fit_temperature, log_loss, log_softmax, recall_at

RNG = np.random.default_rng(0)
TEXT = RNG.normal(size=(6, 16)).astype(np.float32) + 30.0
COUNTS = np.array([50, 3, 0, 7, 1, 20])
KNOWN = np.array([50, 3, 9, 7, 0, 20])
"""Conversions known of each: the third was left out of the targets, of the fifth only a target is known."""
ALL = torch.ones(6, dtype=torch.bool)


def learned_head() -> AdvertiserHead:
    """A head whose learned tensors are all away from their start."""
    head = AdvertiserHead.start(TEXT, np.full(16, 5.0, dtype=np.float32), COUNTS, KNOWN)
    for tensor in head.learned.values():
        tensor += torch.from_numpy(RNG.normal(size=tuple(tensor.shape))).float() * 0.3
    return head


def test_before_training_users_get_the_advertiser_whose_text_is_like_what_was_read() -> None:
    head = AdvertiserHead.start(TEXT, TEXT.mean(axis=0), np.full(6, 4))
    logits = head.logits(torch.from_numpy(TEXT))
    np.testing.assert_array_equal(logits.argmax(dim=1), np.arange(6))


def test_before_training_a_user_without_direction_gets_popularity() -> None:
    head = AdvertiserHead.start(TEXT, TEXT.mean(axis=0), COUNTS)
    logits = head.logits(torch.from_numpy(TEXT.mean(axis=0))[None]).numpy()[0]
    trained = COUNTS > 0
    np.testing.assert_allclose(logits[trained], log_popularity(COUNTS)[trained], rtol=1e-5)
    np.testing.assert_allclose(logits[~trained], log_popularity(COUNTS)[trained].mean(), rtol=1e-5)


def test_a_lost_advertiser_scores_as_a_new_one_of_the_same_text() -> None:
    head, hidden, taught = learned_head(), torch.from_numpy(RNG.normal(size=(5, 16))).float(), COUNTS > 0
    kept = torch.tensor([True, False, True, False, True, True])
    dropped = head.training_logits(hidden, kept, ALL).numpy()
    rows = np.where(kept.numpy(), np.arange(6), -1)
    as_new = head.for_catalogue(rows, TEXT, KNOWN).logits(hidden).numpy()
    np.testing.assert_allclose(dropped[:, taught], as_new[:, taught], rtol=1e-5, atol=1e-5)
    untold = head.training_logits(hidden, kept, torch.tensor([True, False, True, True, True, True])).numpy()
    unknown = head.for_catalogue(rows, TEXT, np.where(np.arange(6) == 1, 0, KNOWN)).logits(hidden).numpy()
    np.testing.assert_allclose(untold[:, 1], unknown[:, 1], rtol=1e-5, atol=1e-5)
    assert np.abs(untold - dropped)[:, 1].min() > 1e-3
    whole = head.logits(hidden).numpy()
    assert np.abs(dropped - whole)[:, [1, 3]].min() > 1e-3
    np.testing.assert_allclose(dropped[:, [0, 4, 5]], whole[:, [0, 4, 5]], rtol=1e-6)


def test_known_conversions_stand_for_the_bias_of_who_was_never_a_target() -> None:
    head = AdvertiserHead.start(TEXT, TEXT.mean(axis=0), COUNTS, KNOWN)
    logits = head.logits(torch.from_numpy(TEXT.mean(axis=0))[None]).numpy()[0]
    assert logits[2] == pytest.approx(log_popularity(KNOWN)[2], rel=1e-5)
    newcomers = head.for_catalogue(np.full(3, -1), TEXT[:3], np.array([0, 5, 500]))
    logits = newcomers.logits(torch.from_numpy(TEXT.mean(axis=0))[None]).numpy()[0]
    assert logits[1] < logits[2]
    assert logits[0] == pytest.approx(float(head.tensors["shared_bias"]), rel=1e-5)


def test_what_was_bought_but_is_no_target_is_not_taught_to_be_bought_by_nobody() -> None:
    head = learned_head()
    hidden = torch.from_numpy(RNG.normal(size=(5, 16))).float()
    for tensor in head.learned.values():
        tensor.requires_grad_()
    logits = head.training_logits(hidden, ALL, ALL)
    taught = torch.tensor(COUNTS > 0)
    expected = torch.log_softmax(logits[:, taught], dim=1)
    np.testing.assert_allclose(torch.log_softmax(logits, dim=1)[:, taught].detach(), expected.detach(), rtol=1e-5)
    soft = taught.float().expand(5, 6) / 5
    torch.nn.functional.cross_entropy(logits, soft).backward()
    assert all(tensor.grad is None or bool(torch.isfinite(tensor.grad).all()) for tensor in head.learned.values())
    assert torch.isfinite(head.tensors["projection"].grad).all()
    unknown = AdvertiserHead.start(TEXT, TEXT.mean(axis=0), COUNTS, COUNTS)
    assert (unknown.training_logits(hidden, ALL, ALL) > -100).all(), "of whom nothing is known is taught as it is"


def test_another_catalogue_moves_no_score_of_who_stays() -> None:
    """Centring uses the training catalogue's mean, so newcomers do not shift the others."""
    head, hidden = learned_head(), torch.from_numpy(RNG.normal(size=(4, 16))).float()
    text = np.concatenate([TEXT[[4, 0]], RNG.normal(size=(3, 16)).astype(np.float32)])
    other = head.for_catalogue(np.array([4, 0, -1, -1, -1]), text, np.array([0, 50, 0, 3, 0])).logits(hidden).numpy()
    np.testing.assert_allclose(other[:, :2], head.logits(hidden).numpy()[:, [4, 0]], rtol=1e-5, atol=1e-5)
    assert np.isfinite(other).all()


@given(st.integers(0, 1000), st.floats(0.3, 4.0))
@settings(max_examples=15, deadline=None)
def test_the_temperature_that_spoilt_the_logits_is_found(seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(3000, 8)) * 2
    target = np.array([rng.choice(8, p=np.exp(row)) for row in log_softmax(true)])
    found = fit_temperature(true * temperature, target)
    assert found == pytest.approx(temperature, rel=0.15)
    best = log_loss(true * temperature / found, target)
    for other in (found * 0.9, found * 1.1):
        assert best <= log_loss(true * temperature / np.clip(other, *TEMPERATURES), target) + 1e-9


def test_recall_counts_targets_in_the_top_k() -> None:
    logits = np.array([[3.0, 2, 1, 0], [0, 1, 2, 3], [1, 1, 1, 1]])
    assert recall_at(logits, np.array([1, 1, 0]), 1) == pytest.approx(1 / 3)
    assert recall_at(logits, np.array([1, 1, 0]), 2) == pytest.approx(2 / 3)
