"""The network of the sequence source: the stream encoder's states h into a softmax over advertisers.

    logits_a = h_t . w_a + b_a + (g . h_t) log(1 + own events with a among x_1..x_t)

w_a: the advertiser's input embedding (tied) or one of its own. The last term is a pointer to the user's own past with a
gate, as in copying networks (RepeatNet: Ren et al. 2019): to learn from few users that people come back, a network must
not have to learn it for each advertiser anew. It counts at the read, so it stands before no event.

It imports torch, so it is itself imported only inside functions. It knows no streams and no training.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ml.predictors.sequence_tokens import KNOWN, Vocabulary
from ml.predictors.stream_encoder import Batch, StreamEncoder, embedding


class SequenceNetwork(StreamEncoder):
    """See the module.

    Args:
        vocabulary: what gets embeddings.
        bias: b before training: log popularity, shape (n_advertisers,).
        hidden, layers, heads, dropout, max_events, tied: see `SequenceSettings`.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        bias: np.ndarray,
        *,
        hidden: int,
        layers: int,
        heads: int,
        dropout: float,
        max_events: int,
        tied: bool,
    ) -> None:
        super().__init__(vocabulary, hidden=hidden, layers=layers, heads=heads, dropout=dropout, max_events=max_events)
        self.output = None if tied else embedding(len(vocabulary.advertiser_ids), hidden)
        self.bias = nn.Parameter(torch.from_numpy(bias).float())
        self.gate = nn.Linear(hidden, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, batch: Batch) -> Tensor:
        """Logits of each read, (n_reads, n_advertisers)."""
        read = self.read(batch)
        output = self.advertiser.weight[KNOWN:] if self.output is None else self.output.weight
        own = torch.log1p(own_events(batch, len(self.bias)))
        logits: Tensor = self.dropout(read) @ output.T + self.bias + self.gate(read) * own
        return logits


def own_events(batch: Batch, n_advertisers: int) -> Tensor:
    """Events with each advertiser that each read sees, (n_reads, n_advertisers)."""
    advertiser = batch.events["advertiser"][batch.row] - KNOWN
    seen = torch.arange(advertiser.shape[1]) < batch.token[:, None]
    read, place = torch.nonzero(seen & (advertiser >= 0), as_tuple=True)
    counts = torch.zeros(len(batch.row), n_advertisers)
    return counts.index_put_((read, advertiser[read, place]), torch.ones(len(read)), accumulate=True)
