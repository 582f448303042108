"""text_linear: TF-IDF of the prompt the LLM reads, into a softmax over the catalogue.

    p(a | prompt) = softmax(x U V + b)[a]       x: TF-IDF (L2-normalised), U: (n_terms, rank), V: (rank, n_advertisers)

The low rank is fastText's (Joulin et al. 2017); b starts at the log popularity of the targets. Trained with full
cross-entropy on the prompt before every target of all training users. It reads the text the LLM reads and nothing else:
a bag of words without pretraining, cut to the newest lines. Bit-equal on one machine with one thread.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.blocks import InBlocks
from ml.predictors.histories import columns_of
from ml.predictors.popularity import catalogue_ids_of, version
from ml.predictors.text_features import Prompts, PromptTfidf


class TextLinearSettings(BaseModel):
    """Features and training."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    min_prompts: int = Field(default=3, ge=1)
    """Prompts that a term must occur in."""
    longest_term: int = Field(default=2, ge=1, le=4)
    """Words of the longest term: 2 counts single words and pairs of neighbours in a line."""
    max_events: int = Field(default=100, ge=1)
    """Newest event lines that are read."""
    decay: float = Field(default=0.9, gt=0, le=1)
    """Weight of an event line relative to the next newer one."""
    rank: int = Field(default=128, ge=1)
    """Width between words and advertisers."""
    epochs: int = Field(default=4, ge=1)
    """Passes over the targets."""
    batch: int = Field(default=512, ge=1)
    """Targets a step."""
    learning_rate: float = Field(default=1e-2, gt=0)
    """Peak AdamW step; it falls to zero along a cosine."""
    weight_decay: float = Field(default=2.0, ge=0)
    """AdamW decay of both matrices; much of it, as there are more words than purchases teach."""
    scale: float = Field(default=10.0, gt=0)
    """What TF-IDF rows (of length 1) are multiplied by."""
    seed: int = 0
    """Of start and order."""


class TextLinear(InBlocks):
    """Keeps AdvertiserPredictor."""

    name = "text_linear"
    model_version: str

    def __init__(self, settings: TextLinearSettings | None = None) -> None:
        self.settings = settings or TextLinearSettings()

    @property
    def advertiser_ids(self) -> np.ndarray:
        return self.catalogue_ids

    def fit(self, examples: TrainingExamples) -> Self:
        """Learn vocabulary, then both matrices."""
        s = self.settings
        self.catalogue_ids = catalogue_ids_of(examples.catalogue)
        self.features = PromptTfidf(
            min_prompts=s.min_prompts, max_events=s.max_events, decay=s.decay, longest=s.longest_term
        ).fit(examples.contexts)
        column = columns_of(examples.targets["advertiser_id"], self.catalogue_ids)
        mine = examples.targets[column >= 0]
        prompts, at = self.features.read(examples.contexts), (mine["user"].to_numpy(), mine["position"].to_numpy())
        self.words, self.advertisers, self.bias = self._learn(prompts, *at, column[column >= 0])
        learned = [array.mean(axis=0).astype(np.float64) for array in (self.words, self.advertisers)]
        self.model_version = version(self.name, s, self.catalogue_ids, *learned, self.bias.astype(np.float64))
        return self

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """Softmax of the last prompt of every user."""
        from scipy.special import softmax

        rows = self.features.read(contexts).at(np.arange(len(contexts)), np.diff(contexts.offsets))
        logits = (rows @ self.words * self.settings.scale) @ self.advertisers + self.bias
        return np.asarray(softmax(logits.astype(np.float64), axis=1))

    def _learn(
        self, prompts: Prompts, user: np.ndarray, position: np.ndarray, column: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """U, V and b; the sparse rows of a batch are made when it is read, so memory holds the lines alone."""
        import torch

        s, n = self.settings, len(self.catalogue_ids)
        rng = np.random.default_rng(s.seed)
        counts = np.bincount(column, minlength=n) + 1.0
        start = rng.normal(size=(self.features.n_terms, s.rank)) / np.sqrt(s.rank), np.zeros((s.rank, n))
        words, advertisers = (torch.tensor(a, dtype=torch.float32, requires_grad=True) for a in start)
        bias = torch.tensor(np.log(counts / counts.sum()), dtype=torch.float32, requires_grad=True)
        decayed = {"params": [words, advertisers], "weight_decay": s.weight_decay}
        adamw = torch.optim.AdamW([decayed, {"params": [bias], "weight_decay": 0.0}], lr=s.learning_rate)
        steps = max(1, s.epochs * -(-len(column) // s.batch))
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adamw, steps)
        for _ in range(s.epochs):
            order = rng.permutation(len(column))
            for first in range(0, len(order), s.batch):
                some = order[first : first + s.batch]
                logits = _bag(prompts.at(user[some], position[some]), words) * s.scale @ advertisers + bias
                loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(column[some]))
                adamw.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                adamw.step()
                falling.step()
        words_, advertisers_, bias_ = (t.detach().numpy() for t in (words, advertisers, bias))
        return words_, advertisers_, bias_


def _bag(rows: Any, words: Any) -> Any:
    """Sparse rows times the word matrix, as a weighted embedding bag."""
    import torch

    return torch.nn.functional.embedding_bag(
        torch.from_numpy(rows.indices.astype(np.int64)),
        words,
        torch.from_numpy(rows.indptr[:-1].astype(np.int64)),
        mode="sum",
        per_sample_weights=torch.from_numpy(rows.data),
    )
