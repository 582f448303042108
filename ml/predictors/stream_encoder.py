"""The encoder of event streams: a small causal transformer over event embeddings, for sources and retrieval alike.

    x_0 = profile;  x_t = kind + advertiser + category + mean of hashed words + gap to the event before
    h   = pre-norm transformer blocks with causal attention and a learned bias for each distance

Distances instead of absolute places: a window then reads alike wherever in a stream it lies. Padding stands on the
right and attention is causal, so neither padding nor later events nor neighbours can change what is read.

It imports torch, so it is itself imported only inside functions. It knows no targets and no schedule of training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.contexts.render import VERBS
from ml.predictors.sequence_tokens import KNOWN, Tokens, Vocabulary, Windows

FEED_FORWARD = 2
"""Width of the feed-forward layer, in hidden sizes."""
START = 0.02
"""Standard deviation of embeddings before training."""


@dataclass(frozen=True)
class Batch:
    """Some windows as rectangles; reads window by window."""

    profile: Tensor
    """(n, fields)"""
    events: dict[str, Tensor]
    """kind, advertiser, category, text (row in the bags below): (n, longest)"""
    gap: Tensor
    """(n, longest)"""
    words: Tensor
    """Hashed words of the batch's distinct texts, back to back."""
    bags: Tensor
    """Where each text's words begin."""
    row: Tensor
    """(n_reads,): window of each read"""
    token: Tensor
    """(n_reads,)"""


def make_batch(tokens: Tokens, windows: Windows, rows: np.ndarray) -> tuple[Batch, np.ndarray]:
    """The windows `rows`, and the number of each of their reads among those asked for."""
    length = windows.length[rows]
    inside = np.arange(max(length.max(), 1)) < length[:, None]
    source = np.where(inside, windows.first[rows][:, None] + np.arange(inside.shape[1]), 0)

    def rectangle(values: np.ndarray) -> np.ndarray:
        if not len(values):
            return np.zeros(source.shape, dtype=values.dtype)
        return np.where(inside, values[source], 0).astype(values.dtype)

    events = {name: rectangle(values) for name, values in tokens.events.items()}
    texts, text = np.unique(events["text"], return_inverse=True)
    bags = [tokens.words[i] for i in texts]
    places = windows.reads_of(rows)
    counts = windows.starts[rows + 1] - windows.starts[rows]
    batch = Batch(
        profile=torch.from_numpy(tokens.profile[windows.user[rows]]),
        events={n: torch.from_numpy(v) for n, v in {**events, "text": text.reshape(source.shape)}.items()},
        gap=torch.from_numpy(rectangle(tokens.gap)),
        words=torch.from_numpy(np.concatenate(bags)),
        bags=torch.from_numpy(np.cumsum([0, *(len(bag) for bag in bags[:-1])])),
        row=torch.from_numpy(np.repeat(np.arange(len(rows)), counts)),
        token=torch.from_numpy(windows.token[places]),
    )
    return batch, windows.reads[places]


class StreamEncoder(nn.Module):
    """States of streams at the positions asked for.

    Args:
        vocabulary: what gets embeddings.
        hidden, layers, heads, dropout, max_events: see `ml.predictors.sequence.SequenceSettings`.
    """

    def __init__(
        self, vocabulary: Vocabulary, *, hidden: int, layers: int, heads: int, dropout: float, max_events: int
    ) -> None:
        super().__init__()
        self.kind = embedding(len(VERBS), hidden)
        self.advertiser = embedding(KNOWN + len(vocabulary.advertiser_ids), hidden)
        self.category = embedding(KNOWN + len(vocabulary.categories), hidden)
        self.profile = nn.ModuleList(embedding(KNOWN + len(values), hidden) for values in vocabulary.profiles)
        self.words = nn.EmbeddingBag(vocabulary.word_buckets, hidden, mode="mean")
        nn.init.normal_(self.words.weight, std=START)
        self.gap = nn.Linear(1, hidden)
        self.start = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(hidden, heads, dropout, max_events) for _ in range(layers))
        self.end = nn.LayerNorm(hidden)

    def read(self, batch: Batch) -> Tensor:
        """State of each read, (n_reads, hidden)."""
        profile = torch.stack([embed(batch.profile[:, i]) for i, embed in enumerate(self.profile)]).sum(dim=0)
        events = batch.events
        x = self.kind(events["kind"]) + self.advertiser(events["advertiser"]) + self.category(events["category"])
        x = x + self.words(batch.words, batch.bags)[events["text"]] + self.gap(batch.gap[..., None])
        x = self.dropout(self.start(torch.cat([profile[:, None], x], dim=1)))
        for block in self.blocks:
            x = block(x)
        state: Tensor = self.end(x[batch.row, batch.token])
        return state


class Block(nn.Module):
    """Causal self-attention, then a feed-forward layer, both on normalised input and added to it."""

    def __init__(self, hidden: int, heads: int, dropout: float, max_events: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(hidden), nn.LayerNorm(hidden)])
        self.inner, self.outer = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.distance = nn.Parameter(torch.zeros(heads, max_events + 1))
        self.feed = nn.Sequential(
            nn.Linear(hidden, FEED_FORWARD * hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(FEED_FORWARD * hidden, hidden),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """States of all tokens, (n, length, hidden), from those of the block below."""
        x = x + self.dropout(self.attend(self.norms[0](x)))
        x = x + self.dropout(self.feed(self.norms[1](x)))
        return x

    def attend(self, x: Tensor) -> Tensor:
        """Each token's mixture of itself and those before it."""
        n, length, hidden = x.shape
        query, key, value = self.inner(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        place = torch.arange(length)
        apart = place[:, None] - place
        bias = self.distance[:, apart.clamp(min=0)].masked_fill(apart < 0, -torch.inf)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        mixture: Tensor = self.outer(mixed.transpose(1, 2).reshape(n, length, hidden))
        return mixture


def embedding(rows: int, hidden: int) -> nn.Embedding:
    """Rows of small random numbers."""
    embedding = nn.Embedding(rows, hidden)
    nn.init.normal_(embedding.weight, std=START)
    return embedding


def adamw_of(network: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over a network; biases, scales and norms are not decayed."""
    matrices = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate)
