"""sequence: a small causal transformer over the same stream that the LLM reads, without the language.

Every event is its kind, advertiser, category, hashed search words and the time since the event before; the profile
comes first. It is what the LLM has to beat: all that the stream says, learned from all training users, on a CPU.

    source = SequencePredictor(SequenceSettings(), seed=1).fit(examples)
    source.probabilities(contexts)

It knows no names, no titles, and no advertiser or category outside its training streams. On one thread the same seed
gives the same bits on the same machine; with more threads only about the same. torch is imported when it is
fitted or read, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.llm.validation import log_softmax
from ml.predictors.blocks import InBlocks
from ml.predictors.held_out import held_out_users
from ml.predictors.popularity import catalogue_ids_of, version
from ml.predictors.sequence_reads import reads_of
from ml.predictors.sequence_tokens import Vocabulary, tokenize, windows_of

if TYPE_CHECKING:
    from ml.predictors.sequence_train import Trained


class SequenceSettings(BaseModel):
    """The network, and how it is trained."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    max_events: int = Field(default=64, ge=2)
    """Most events that are read; of a longer stream the newest half of that at least."""
    hidden: int = Field(default=64, ge=4)
    """Width of embeddings and states, a multiple of `heads`."""
    layers: int = Field(default=1, ge=1)
    """Transformer blocks."""
    heads: int = Field(default=2, ge=1)
    """Attention heads of a block."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of the states set to zero in training: after the embeddings, in every block, before the output."""
    tied: bool = True
    """An advertiser's output embedding is its input embedding."""
    word_buckets: int = Field(default=4096, ge=1)
    """Search words are hashed into this many embeddings."""

    epochs: int = Field(default=12, ge=1)
    """Most passes over the training reads; the learning rate's schedule is laid out for all of them."""
    patience: int = Field(default=3, ge=1)
    """Epochs without a better held-out log loss after which training stops."""
    refit: bool = False
    """Train once more on all users, up to the epoch that was best; without it the held-out users stay unlearned."""
    held_out_share: float = Field(default=0.1, ge=0, lt=0.5)
    """Share of users (by hash of their id) that choose epoch and temperature; 0 runs all epochs, uncalibrated."""
    batch_tokens: int = Field(default=1024, ge=32)
    """Padded events an optimizer step reads."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Peak AdamW step."""
    weight_decay: float = Field(default=0.1, ge=0)
    """AdamW decay of matrices and embeddings."""
    warmup_share: float = Field(default=0.06, ge=0, lt=1)
    """Share of the steps over which the learning rate rises; it then falls as a cosine to a tenth."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients longer than this are cut to it."""
    half_life_days: float | None = Field(default=None, gt=0)
    """Days after which a target counts half in the loss; none: all count alike."""
    threads: int = Field(default=1, ge=1)
    """CPU threads; more than one may change the last bits from run to run."""
    seed: int = 0
    """Of weights, batches and dropout."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        return self


class SequencePredictor(InBlocks):
    """Keeps `ml.predictors.base.AdvertiserPredictor`.

    Args:
        settings: the network and its training.
        seed: of weights, batches and dropout; None: that of the settings.
    """

    name = "sequence"
    vocabulary: Vocabulary
    trained: Trained
    model_version: str

    def __init__(self, settings: SequenceSettings | None = None, *, seed: int | None = None) -> None:
        self.settings = settings or SequenceSettings()
        self.seed = self.settings.seed if seed is None else seed

    def fit(self, examples: TrainingExamples) -> Self:
        """Learn from every target, read at its position.

        Raises:
            BadInput: the catalogue is empty.
        """
        import torch

        from ml.llm.probe import use_threads
        from ml.predictors.sequence_train import train

        ids = catalogue_ids_of(examples.catalogue)
        self.vocabulary = Vocabulary.of(examples, self.settings.word_buckets)
        tokens = tokenize(examples.contexts, self.vocabulary)
        reads = reads_of(examples, self.settings.half_life_days)
        held_out = held_out_users(examples.contexts.user_ids, self.settings.held_out_share)
        with use_threads(self.settings.threads), torch.random.fork_rng(devices=[]):
            self.trained = train(tokens, self.vocabulary, reads, held_out, self.settings, self.seed)
        learned = np.concatenate([p.detach().numpy().ravel() for p in self.trained.network.parameters()])
        self.model_version = version(self.name, self.settings, ids, learned, np.array([self.trained.temperature]))
        return self

    @property
    def advertiser_ids(self) -> np.ndarray:
        return self.vocabulary.advertiser_ids

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """The forecast of each user at the end of his stream."""
        found = self.log_probabilities(contexts, np.arange(len(contexts)), np.diff(contexts.offsets))
        return np.asarray(np.exp(found))

    def log_probabilities(self, contexts: UserContexts, user: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Log probabilities at some positions; an event changes only what is read after it.

        Args:
            contexts: the streams.
            user: shape (n,), row of the user.
            position: shape (n,), events known by then.

        Returns:
            float64, shape (n, n_advertisers).
        """
        from ml.llm.probe import use_threads
        from ml.predictors.sequence_train import read_windows

        tokens = tokenize(contexts, self.vocabulary)
        windows = windows_of(user, position, tokens.offsets, self.settings.max_events)
        with use_threads(self.settings.threads):
            logits = read_windows(self.trained.network, tokens, windows, self.settings.batch_tokens)
        return log_softmax(logits / self.trained.temperature)
