"""The advertiser head: from what the LLM has read to a full distribution over the catalogue.

    logits = s * norm(h - c) . (norm(e(a) - m) + D norm(e(a) - m) + r_a) + b_a

h: hidden state at the end of the stream; c: mean of h before training. e(a): frozen base model's state at
the end of the advertiser's own text, m its mean over the training catalogue (raw states are anisotropic: all
nearly parallel). Learned: s, D (starts at 0, so T = I + D at the identity), r_a (starts at 0) and b_a (starts at
the smoothed log popularity).

An advertiser never trained on has neither r_a nor b_a. It gets r = 0 and, for b, the log popularity of the conversions
known of it plus an offset shared by all such; or a bias shared by all of whom no conversion is known. In training whole
advertisers lose r_a and b_a at random, and some of these what is known of them, so that all this is learned. One with
known conversions but no target takes no part in the loss: it would be taught that nobody converts with it, and so
that its text means nothing. Float32 throughout. Knows no users and no files.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

LEARNED = ("projection", "residual", "bias", "shared_bias", "known_offset", "log_scale")
TENSORS = (*LEARNED, "text", "text_mean", "centre", "trained", "known", "popularity")
START_SCALE = 8.0
"""s before training: cosines of +-0.5 then move a logit by +-4."""


class AdvertiserHead:
    """The head as a dictionary of TENSORS."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors

    @classmethod
    def start(
        cls, text: np.ndarray, centre: np.ndarray, counts: np.ndarray, conversions: np.ndarray | None = None
    ) -> AdvertiserHead:
        """The head before training.

        Args:
            text: e(a), shape (n_advertisers, hidden).
            centre: c, shape (hidden,).
            counts: training targets of each advertiser, shape (n_advertisers,); 0 = never trained on.
            conversions: known of each advertiser, targets or not, shape (n_advertisers,); by default the targets.
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
                **_known(counts if conversions is None else conversions),
                "projection": torch.zeros(hidden, hidden),
                "residual": torch.zeros(n, hidden),
                "bias": popularity,
                "shared_bias": popularity[trained].mean() if bool(trained.any()) else popularity.mean(),
                "known_offset": torch.tensor(0.0),
                "log_scale": torch.tensor(math.log(START_SCALE)),
            }
        )

    @property
    def learned(self) -> dict[str, torch.Tensor]:
        return {name: self.tensors[name] for name in LEARNED}

    def to(self, device: str) -> AdvertiserHead:
        return AdvertiserHead({name: tensor.to(device) for name, tensor in self.tensors.items()})

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores, shape (n, n_advertisers), of hidden states h, shape (n, hidden)."""
        return self.scores(hidden, *self.advertisers())

    def training_logits(self, hidden: torch.Tensor, kept: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """The same in a training step.

        Args:
            hidden: h, shape (n, hidden).
            kept: shape (n_advertisers,), False where an advertiser has lost its residual and bias this step.
            told: shape (n_advertisers,), False where it would, with those, have lost its known conversions too.

        Returns:
            Scores, shape (n, n_advertisers); hugely negative for those that take no part in the loss.
        """
        import torch

        absent = ~self.tensors["trained"] & self.tensors["known"]
        # finite: a soft target of 0 times minus infinity is not a number
        return self.scores(hidden, *self.advertisers(kept, told)).masked_fill(absent, torch.finfo().min / 2)

    def advertisers(
        self, kept: torch.Tensor | None = None, told: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The advertisers' side of the scores, which no user changes: (n_advertisers, hidden) and (n_advertisers,)."""
        import torch
        from torch.nn.functional import normalize

        t = self.tensors
        own = t["trained"] if kept is None else t["trained"] & kept
        text = normalize(t["text"] - t["text_mean"], dim=1)
        sides = text + text @ t["projection"] + t["residual"] * own[:, None]
        known = t["known"] if told is None else t["known"] & told
        without = torch.where(known, t["popularity"] + t["known_offset"], t["shared_bias"])
        return sides, torch.where(own, t["bias"], without)

    def scores(self, hidden: torch.Tensor, advertisers: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Scores of users against `advertisers()`, shape (n, n_advertisers)."""
        from torch.nn.functional import normalize

        users = normalize(hidden.float() - self.tensors["centre"], dim=1)
        return self.tensors["log_scale"].exp() * users @ advertisers.T + bias

    def for_catalogue(self, rows: np.ndarray, text: np.ndarray, conversions: np.ndarray) -> AdvertiserHead:
        """The head over another catalogue; what it learned of T and the means stays.

        Args:
            rows: shape (n,), the advertiser's row in this head, -1 where it has none.
            text: e(a) of the other catalogue, shape (n, hidden).
            conversions: known of each of its advertisers, shape (n,).
        """
        import torch

        known, source = torch.from_numpy(rows >= 0), torch.from_numpy(np.maximum(rows, 0))
        t = self.tensors
        own = {name: t[name][source] for name in ("bias", "residual")}
        trained = t["trained"][source] & known
        other = {**own, "trained": trained, "text": torch.from_numpy(text).float()}
        return AdvertiserHead({**t, **_known(conversions), **other})


def _known(conversions: np.ndarray) -> dict[str, torch.Tensor]:
    """`known` and `popularity`, both (n_advertisers,), of the conversions known of each."""
    import torch

    popularity = torch.from_numpy(log_popularity(conversions)).float()
    return {"known": torch.from_numpy(conversions > 0), "popularity": popularity}


def log_popularity(counts: np.ndarray) -> np.ndarray:
    """Log share of each advertiser among the targets, add-one smoothed, shape (n_advertisers,), float64."""
    shares: np.ndarray = np.log((counts + 1.0) / (counts.sum() + len(counts)))
    return shares
