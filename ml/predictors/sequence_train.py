"""Trains the sequence network: full softmax cross-entropy over the catalogue at every target.

SASRec with full cross-entropy beats BERT4Rec and sampled losses (Klenitskiy and Vasilev, "Turning Dross Into Gold
Loss: is BERT4Rec really better than SASRec?", RecSys 2023; Petrov and Macdonald, "gSASRec", RecSys 2023): with a
catalogue of thousands it is also cheap. AdamW, linear warm-up, then half a cosine. A pass without the held-out users
(by hash of their id) says after which epoch to stop and at what temperature to read; with `refit` a second pass over
everybody follows the same schedule to that epoch.

On one thread a run is a function of examples, settings and seed. It imports torch, so it is itself imported only
inside functions.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ml.llm.batches import scoring_batches, training_batches
from ml.llm.head import log_popularity
from ml.llm.optimizer import learning_rate_share
from ml.llm.validation import fit_temperature
from ml.predictors.sequence_network import SequenceNetwork
from ml.predictors.sequence_reads import Reads
from ml.predictors.sequence_tokens import Tokens, Vocabulary, Windows, windows_of
from ml.predictors.stream_encoder import adamw_of, make_batch

if TYPE_CHECKING:
    from ml.predictors.sequence import SequenceSettings


@dataclass(frozen=True)
class Trained:
    """A network and what the held-out users say of it (nan without any)."""

    network: SequenceNetwork
    temperature: float
    epoch: int
    """Passes over the reads it was trained for."""
    log_losses: tuple[float, ...]
    """Held-out log loss after each epoch, nats."""


def train(
    tokens: Tokens, vocabulary: Vocabulary, reads: Reads, held_out: np.ndarray, settings: SequenceSettings, seed: int
) -> Trained:
    """Train on the reads of users who are not held out, choose epoch and temperature on the others, refit on all.

    Args:
        tokens: all training streams.
        vocabulary: of `tokens`.
        reads: with their targets.
        held_out: shape (n_users,), bool.
        settings: of the source.
        seed: of the weights, batches and dropout.
    """
    mine = held_out[reads.user]
    first = Run(tokens, vocabulary, reads.take(~mine), settings, seed)
    judged = reads.take(mine)
    if not len(judged.user) or not len(first.reads.user):
        whole = Run(tokens, vocabulary, reads, settings, seed)
        for _ in range(settings.epochs):
            whole.epoch()
        return Trained(whole.network, 1.0, settings.epochs, ())
    losses: list[float] = []
    best = copy.deepcopy(first.network)
    for _ in range(settings.epochs):
        first.epoch()
        losses.append(log_loss(logits_of(first.network, tokens, judged, settings), judged))
        if losses[-1] == min(losses):
            best = copy.deepcopy(first.network)
        if len(losses) - 1 - int(np.argmin(losses)) >= settings.patience:
            break
    epoch = int(np.argmin(losses)) + 1
    temperature = temperature_of(logits_of(best, tokens, judged, settings), judged)
    if settings.refit:
        whole = Run(tokens, vocabulary, reads, settings, seed)
        for _ in range(epoch):
            whole.epoch()
        best = whole.network
    return Trained(best.eval(), temperature, epoch, tuple(losses))


class Run:
    """One network on its way through some epochs."""

    def __init__(
        self, tokens: Tokens, vocabulary: Vocabulary, reads: Reads, settings: SequenceSettings, seed: int
    ) -> None:
        self.tokens, self.reads, self.settings = tokens, reads, settings
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        n_advertisers = len(vocabulary.advertiser_ids)
        counts = np.bincount(reads.column, reads.weight, minlength=n_advertisers)
        self.network = SequenceNetwork(
            vocabulary,
            log_popularity(counts),
            hidden=settings.hidden,
            layers=settings.layers,
            heads=settings.heads,
            dropout=settings.dropout,
            max_events=settings.max_events,
            tied=settings.tied,
        )
        self.adamw = adamw_of(self.network, settings.learning_rate, settings.weight_decay)
        self.windows = windows_of(reads.user, reads.position, tokens.offsets, settings.max_events)
        self.done = 0
        self.steps = 0

    def epoch(self) -> None:
        """One pass over the reads in a new random order."""
        batches = training_batches(self.windows.length + 1, self.settings.batch_tokens, self.rng)
        self.steps = self.steps or len(batches) * self.settings.epochs
        self.network.train()
        for rows in batches:
            batch, numbers = make_batch(self.tokens, self.windows, rows)
            logits = self.network(batch)
            loss = cross_entropy(logits, self.reads, numbers)
            self.adamw.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip_norm)
            rate = learning_rate_share(min(self.done, self.steps - 1), self.steps, self.settings.warmup_share)
            for group in self.adamw.param_groups:
                group["lr"] = rate * self.settings.learning_rate
            self.adamw.step()
            self.done += 1


def cross_entropy(logits: torch.Tensor, reads: Reads, numbers: np.ndarray) -> torch.Tensor:
    """Weighted mean of -log p(target) over all targets of some reads; row i of `logits` is read numbers[i]."""
    counts = reads.starts[numbers + 1] - reads.starts[numbers]
    row = np.repeat(np.arange(len(numbers)), counts)
    place = np.repeat(reads.starts[numbers] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    weight = torch.from_numpy(reads.weight[place]).float()
    found = torch.log_softmax(logits, dim=1)[torch.from_numpy(row), torch.from_numpy(reads.column[place])]
    return -(found * weight).sum() / weight.sum()


def logits_of(network: SequenceNetwork, tokens: Tokens, reads: Reads, settings: SequenceSettings) -> np.ndarray:
    """Logits of every read, float32, shape (n_reads, n_advertisers)."""
    windows = windows_of(reads.user, reads.position, tokens.offsets, settings.max_events)
    return read_windows(network, tokens, windows, settings.batch_tokens)


def read_windows(network: SequenceNetwork, tokens: Tokens, windows: Windows, batch_tokens: int) -> np.ndarray:
    """Logits of every read of some windows, in the order they were asked for; nothing is learned."""
    logits = np.empty((len(windows.reads), len(network.bias)), dtype=np.float32)
    network.eval()
    with torch.inference_mode():
        for rows in scoring_batches(windows.length + 1, batch_tokens):
            batch, numbers = make_batch(tokens, windows, rows)
            logits[numbers] = network(batch).numpy()
    return logits


def log_loss(logits: np.ndarray, reads: Reads) -> float:
    """Weighted mean of -log p over the targets of the reads, nats."""
    with torch.inference_mode():
        return float(cross_entropy(torch.from_numpy(logits), reads, np.arange(len(logits))))


def temperature_of(logits: np.ndarray, reads: Reads) -> float:
    """Temperature of the least log loss on the last read of each user: the nearest to what is forecast.

    Args:
        logits: of every read, shape (n_reads, n_advertisers).
        reads: users ascending, each user's in stream order.
    """
    last = np.flatnonzero(np.append(reads.user[1:] != reads.user[:-1], True))
    counts = np.diff(reads.starts)[last]
    mine = np.zeros(len(reads.user), dtype=bool)
    mine[last] = True
    return fit_temperature(np.repeat(logits[last], counts, axis=0), reads.take(mine).column)
