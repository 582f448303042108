"""What a training step minimises: the advertisers' cross-entropy, co-occurrence's soft targets, the interests.

The loss is the full cross-entropy over the catalogue at every conversion of a stream (never over the vocabulary). Some
advertisers lose residual and bias in each step (and some of these what is known of their conversions), so that a name
alone learns to speak; which ones is a function of (seed, step). It knows no model below the states it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.errors import BadInput
from ml.llm.head import AdvertiserHead
from ml.llm.interests import InterestHead
from ml.llm.sample import Sample
from ml.llm.settings import LLMSettings
from ml.llm.teacher import Teacher
from ml.llm.validation import log_loss, log_softmax

if TYPE_CHECKING:
    import torch

UNTOLD_SHARE = 0.5
"""Share of the advertisers without residual and bias, in a step, of whom no conversion is told either."""

Losses = dict[str, float]


class Objective:
    """The two heads and their joint loss over a sample.

    Args:
        head: of the advertisers.
        interests: of the interests; None: there are none, or they have no weight.
        teacher: of soft targets; None: conversions alone are learned from.
        sample: what is trained on.
        settings: see LLMSettings.
        seed: draws which advertisers are dropped.
        device: where the heads are.
    """

    def __init__(
        self,
        head: AdvertiserHead,
        interests: InterestHead | None,
        teacher: Teacher | None,
        sample: Sample,
        settings: LLMSettings,
        seed: int,
        device: str,
    ) -> None:
        self.head, self.interests, self.teacher = head, interests, teacher
        self.sample, self.settings, self.seed, self.device = sample, settings, seed, device

    @property
    def learned(self) -> dict[str, torch.Tensor]:
        """The tensors of both heads that training changes."""
        return {**self.head.learned, **(self.interests.learned if self.interests else {})}

    def loss(self, hidden: torch.Tensor, reads: np.ndarray, step: int) -> tuple[torch.Tensor, Losses]:
        """The joint loss of a step, and what is logged of it: `loss` (of the advertisers) and `interest_loss`.

        Args:
            hidden: states at some reads of the sample's training layout, shape (n, width).
            reads: rows of those reads, shape (n,).
            step: number of the step.

        Raises:
            BadInput: the loss is no longer a number.
        """
        import torch

        target = torch.from_numpy(self.sample.train_target[reads])
        logits = self.head.training_logits(hidden, *self._dropout(step))
        loss = torch.nn.functional.cross_entropy(logits, target.to(self.device))
        if self.teacher is not None:
            says = torch.from_numpy(self.teacher.probabilities(self.sample.train_row[reads])).to(self.device)
            share = self.settings.cooccurrence_share
            loss = (1 - share) * loss + share * torch.nn.functional.cross_entropy(logits, says)
        told, joint = {"loss": float(loss.detach())}, loss
        if self.interests is not None:
            beside = self.interests.loss(hidden, self.interests.columns(self.sample.train_interest.iloc[reads]))
            told["interest_loss"], joint = float(beside.detach()), loss + self.settings.interest_weight * beside
        if not bool(torch.isfinite(joint)):
            raise BadInput(
                f"the training loss is {float(joint.detach())}",
                where=f"advertiser LLM, step {step + 1}",
                remedy="lower adapter_learning_rate and head_learning_rate, or set dtype: float32",
            )
        return joint, told

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """Of every advertiser, shape (n, n_advertisers)."""
        import torch

        with torch.inference_mode():
            logits: np.ndarray = self.head.logits(torch.from_numpy(hidden).to(self.device)).cpu().numpy()
        return logits

    def validation_loss(self, hidden: np.ndarray) -> float:
        """Mean log loss of the held-out users' targets, in nats."""
        return log_loss(self.logits(hidden), self.sample.validation_target)

    def judge_interests(self, hidden: np.ndarray) -> dict[str, float]:
        """Validation figures of the interests; none where there is no such head."""
        if self.interests is None:
            return {}
        return self.interests.judge(hidden, self.interests.columns(self.sample.validation_interest))

    def forecasts(self, hidden: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Probabilities of the advertisers, and of the interests where there are any."""
        interests = self.interests.probabilities(hidden) if self.interests else None
        return np.exp(log_softmax(self.logits(hidden) / temperature)), interests

    def _dropout(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Which advertisers keep residual and bias in a step, and which of the others what is known of them."""
        import torch

        rng, n = np.random.default_rng([self.seed, 2, step]), len(self.sample.popularity)
        kept, told = rng.random(n) >= self.settings.advertiser_dropout, rng.random(n) >= UNTOLD_SHARE
        return torch.from_numpy(kept).to(self.device), torch.from_numpy(told).to(self.device)
