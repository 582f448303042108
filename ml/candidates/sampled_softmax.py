"""The loss of the retrieval model: softmax over all ads, estimated from sampled ones.

    -log ( exp(s_i+) / (exp(s_i+) + sum_j w_j exp(s_ij)) ),    w_j = n_j / E[n_j]

The sum runs over the ads sampled for the step except the positive. Sampled are the positives of the whole batch (n of
them; an ad of share q_j among all positives comes n q_j times on average) and m ads drawn uniformly from all N:
mixed negatives (Yang et al. 2020, "Mixed Negative Sampling for Learning Two-tower Neural Networks in
Recommendations", WWW companion), without which an ad that is never a positive is never a negative either. n_j counts
how often an ad came; E[n_j] = n q_j + m / N. Dividing by it is the log-Q correction (Yi et al. 2019,
"Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys): without it popular ads,
sampled more often, are pushed down. The positive itself is always there, not sampled, so it is not corrected
(Khrylchenko et al. 2025, "Correcting the LogQ Correction", RecSys).

An ad that could not be shown on the positive's day takes no part in its sum. It imports torch: import it inside
functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampled:
    """The ads of one step.

    Attributes:
        ads: shape (n_sampled,), rows of the ads, ascending, each once.
        log_weight: shape (n_sampled,): log w_j.
    """

    ads: np.ndarray
    log_weight: np.ndarray


class Sampler:
    """Draws the ads of each step.

    Args:
        shares: q of every ad, shape (n_ads,), sums to 1.
        uniform: ads drawn uniformly (with replacement) for a step.
        log_q: correct for how often an ad is sampled.
    """

    def __init__(self, shares: np.ndarray, *, uniform: int, log_q: bool) -> None:
        self.shares, self.uniform, self.log_q = shares, uniform, log_q

    def __call__(self, positives: np.ndarray, rng: np.random.Generator) -> Sampled:
        """The ads of a batch with these positives, shape (n,)."""
        drawn = rng.integers(0, len(self.shares), self.uniform)
        ads, counts = np.unique(np.concatenate([positives, drawn]), return_counts=True)
        expected = len(positives) * self.shares[ads] + self.uniform / len(self.shares)
        weight = np.log(counts / expected) if self.log_q else np.log(counts)
        return Sampled(ads, weight)


def loss_of(scores: Tensor, positive: np.ndarray, sampled: Sampled, possible: np.ndarray) -> Tensor:
    """The loss of each positive, nats, shape (n,).

    Args:
        scores: of each positive's user and each sampled ad, (n, n_sampled).
        positive: ad of each row, shape (n,); all are among `sampled.ads`.
        sampled: the ads.
        possible: shape (n, n_sampled): could the ad be shown then?
    """
    own = torch.from_numpy(np.searchsorted(sampled.ads, positive))[:, None]
    weighted = scores + torch.from_numpy(sampled.log_weight).float()
    weighted = weighted.masked_fill(torch.from_numpy(~possible), -torch.inf)
    mine = scores.gather(1, own)
    return (torch.logsumexp(weighted.scatter(1, own, mine), dim=1, keepdim=True) - mine)[:, 0]
