"""The advertiser head: from what the LLM has read to a full distribution over the catalogue.

    logits = s * norm(h - c) . (norm(e(a) - m) + D norm(e(a) - m) + r_a) + b_a

h: hidden state at the end of the stream; c: mean of h before training. e(a): frozen base model's state at
the end of the advertiser's own text, m its mean over the training catalogue (raw states are anisotropic: all
nearly parallel). Learned: s, D (starts at 0, so T = I + D at the identity), r_a (starts at 0) and b_a (starts at
the smoothed log popularity). In training whole advertisers lose r_a and b_a at random, as one never trained on
has neither: it gets r = 0 and a bias shared by all such. Float32 throughout. Knows no users and no files.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

LEARNED = ("projection", "residual", "bias", "shared_bias", "log_scale")
START_SCALE = 8.0
"""s before training: cosines of +-0.5 then move a logit by +-4."""


class AdvertiserHead:
    """The head as a dictionary of tensors: LEARNED and `text`, `text_mean`, `centre`, `trained`."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors

    @classmethod
    def start(cls, text: np.ndarray, centre: np.ndarray, counts: np.ndarray) -> AdvertiserHead:
        """The head before training.

        Args:
            text: e(a), shape (n_advertisers, hidden).
            centre: c, shape (hidden,).
            counts: training targets of each advertiser, shape (n_advertisers,); 0 = never trained on.
        """
        import torch

        n, hidden = text.shape
        popularity = torch.from_numpy(log_popularity(counts)).float()
        trained = torch.from_numpy(counts > 0)
        return cls(
            {
                "text": torch.from_numpy(text).float(),
                "text_mean": torch.from_numpy(text.mean(axis=0)).float(),
                "centre": torch.from_numpy(centre).float(),
                "trained": trained,
                "projection": torch.zeros(hidden, hidden),
                "residual": torch.zeros(n, hidden),
                "bias": popularity,
                "shared_bias": popularity[trained].mean() if bool(trained.any()) else popularity.mean(),
                "log_scale": torch.tensor(math.log(START_SCALE)),
            }
        )

    @property
    def learned(self) -> dict[str, torch.Tensor]:
        return {name: self.tensors[name] for name in LEARNED}

    def to(self, device: str) -> AdvertiserHead:
        return AdvertiserHead({name: tensor.to(device) for name, tensor in self.tensors.items()})

    def logits(self, hidden: torch.Tensor, kept: torch.Tensor | None = None) -> torch.Tensor:
        """Scores, shape (n, n_advertisers).

        Args:
            hidden: h, shape (n, hidden).
            kept: shape (n_advertisers,), False where an advertiser has lost its residual and bias this step.
        """
        return self.scores(hidden, *self.advertisers(kept))

    def advertisers(self, kept: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The advertisers' side of the scores, which no user changes: (n_advertisers, hidden) and (n_advertisers,)."""
        import torch
        from torch.nn.functional import normalize

        t = self.tensors
        own = t["trained"] if kept is None else t["trained"] & kept
        text = normalize(t["text"] - t["text_mean"], dim=1)
        sides = text + text @ t["projection"] + t["residual"] * own[:, None]
        return sides, torch.where(own, t["bias"], t["shared_bias"])

    def scores(self, hidden: torch.Tensor, advertisers: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Scores of users against `advertisers()`, shape (n, n_advertisers)."""
        from torch.nn.functional import normalize

        users = normalize(hidden.float() - self.tensors["centre"], dim=1)
        return self.tensors["log_scale"].exp() * users @ advertisers.T + bias

    def for_catalogue(self, rows: np.ndarray, text: np.ndarray) -> AdvertiserHead:
        """The head over another catalogue; what it learned of T and the means stays.

        Args:
            rows: shape (n,), the advertiser's row in this head, -1 where it has none.
            text: e(a) of the other catalogue, shape (n, hidden).
        """
        import torch

        known, source = torch.from_numpy(rows >= 0), torch.from_numpy(np.maximum(rows, 0))
        t = self.tensors
        own = {name: t[name][source] for name in ("bias", "residual")}
        trained = t["trained"][source] & known
        return AdvertiserHead({**t, **own, "trained": trained, "text": torch.from_numpy(text).float()})


def log_popularity(counts: np.ndarray) -> np.ndarray:
    """Log share of each advertiser among the targets, add-one smoothed, shape (n_advertisers,), float64."""
    shares: np.ndarray = np.log((counts + 1.0) / (counts.sum() + len(counts)))
    return shares
