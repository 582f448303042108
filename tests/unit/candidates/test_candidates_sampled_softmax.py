"""The sampled loss against the full one, and what the log-Q correction is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ml.candidates.sampled_softmax import Sampler, loss_of

N = 40


def learned_scores(*, log_q: bool, uniform: int = 20, steps: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Scores of N ads learned by sampled softmax from positives of known shares, and the log shares."""
    rng = np.random.default_rng(0)
    shares = 1.0 / np.arange(1, N + 1)
    shares /= shares.sum()
    sample = Sampler(shares, uniform=uniform, log_q=log_q)
    scores = torch.zeros(N, requires_grad=True)
    adam = torch.optim.Adam([scores], lr=0.05)
    for step in range(steps):
        positives = rng.choice(N, 32, p=shares)
        sampled = sample(positives, rng)
        possible = np.ones((32, len(sampled.ads)), dtype=bool)
        loss = loss_of(scores[torch.from_numpy(sampled.ads)].expand(32, -1), positives, sampled, possible).mean()
        adam.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return scores.detach().numpy(), np.log(shares)


def test_log_q_removes_the_popularity_bias():
    """Everybody wants ads by their shares: corrected, the scores are the log shares; without it far flatter."""
    scores, wanted = learned_scores(log_q=True)
    slope = np.polyfit(wanted, scores, 1)[0]
    assert slope == pytest.approx(1, abs=0.1)
    assert np.std(scores - wanted) < 0.25
    flat, _ = learned_scores(log_q=False)
    assert np.polyfit(wanted, flat, 1)[0] < 0.75


def test_expected_loss_is_about_the_full_softmax():
    """Mean over many draws of the sampled loss, of fixed scores, against the loss over all ads."""
    rng = np.random.default_rng(1)
    scores = rng.normal(size=N)
    shares = rng.dirichlet(np.ones(N))
    sample = Sampler(shares, uniform=64, log_q=True)
    found = []
    for _ in range(300):
        positives = rng.choice(N, 128, p=shares)
        sampled = sample(positives, rng)
        rows = torch.from_numpy(scores[sampled.ads]).float().expand(128, -1)
        loss = loss_of(rows, positives, sampled, np.ones(rows.shape, dtype=bool))
        found.append((loss.numpy() - (np.log(np.exp(scores).sum()) - scores[positives])).mean())
    assert abs(np.mean(found)) < 0.02


def test_the_positive_itself_is_not_corrected():
    """It is there for certain: alone, with nothing else sampled, it costs nothing, however rare it is."""
    positives = np.array([0])
    sampled = Sampler(np.array([0.01, 0.99]), uniform=0, log_q=True)(positives, np.random.default_rng(0))
    assert sampled.log_weight[0] == pytest.approx(np.log(100))
    assert loss_of(torch.tensor([[3.0]]), positives, sampled, np.ones((1, 1), dtype=bool)).item() == 0


def test_ads_that_could_not_be_shown_take_no_part():
    """A negative that was not there yet may score as it likes."""
    positives = np.array([0])
    sampled = Sampler(np.array([1.0, 0, 0]), uniform=200, log_q=True)(positives, np.random.default_rng(0))
    possible = np.array([[True, True, False]])
    low, high = (loss_of(torch.tensor([[1.0, 0.0, score]]), positives, sampled, possible) for score in (-50.0, 50.0))
    assert torch.equal(low, high)
    everywhere = loss_of(torch.tensor([[1.0, 0.0, 50.0]]), positives, sampled, np.ones((1, 3), dtype=bool))
    assert everywhere > 40
