"""The two towers: a user's stream and profile on one side, an ad's features on the other, one dot product between.

    c_t = advertiser + category + mean of words     of event t of the stream; c: the same of the ad, by its title
    p   = sum_t w_t c_t / (1 + sum_t w_t)           w_t = exp(a[kind of t] - r log(1 + days from t to the newest event))
    h   = state of `ml.predictors.stream_encoder` at the read
    x   = norm(c + price + d * the ad itself)
    score(user, ad, day) = s p . c  +  A h . B x  +  e . x + d * bias of the ad itself + g[age of the ad on the day]

The first product is how much the ad is about what the user lately did. Both sides share the embeddings, which start as
long random vectors, nearly orthogonal: so before any training a search for what a title says, or a conversion with an
advertiser, draws his ads near, and from few positives a network need not learn that for each advertiser anew. The
second learns what follows from what. d is 0 for an ad unknown to the training, and in training for whole ads drawn at
random, so that a new ad is in distribution.

The score of one day is a single dot product of (s p, A h, 1) and (c, B x, all else of the ad).

It imports torch, so it is itself imported only inside functions. It knows no training.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ml.candidates.ad_tokens import AGE_BUCKETS, AdTokens, AdVocabulary
from ml.candidates.settings import TowerSettings
from ml.contexts.render import VERBS
from ml.predictors.sequence_tokens import KNOWN
from ml.predictors.stream_encoder import START, Batch, StreamEncoder, embedding

START_SCALE, START_FADING = 3.0, 0.5
"""s and r before training."""


class TwoTowerNetwork(nn.Module):
    """See the module.

    Args:
        vocabulary: what gets embeddings.
        bias: of each of the training's ads before training: log popularity, shape (n_ads,).
        settings: widths and dropouts.
    """

    def __init__(self, vocabulary: AdVocabulary, bias: np.ndarray, settings: TowerSettings) -> None:
        super().__init__()
        hidden = settings.hidden
        self.encoder = StreamEncoder(
            vocabulary.stream,
            hidden=hidden,
            layers=settings.layers,
            heads=settings.heads,
            dropout=settings.dropout,
            max_events=settings.max_events,
        )
        for shared in (self.encoder.advertiser, self.encoder.category, self.encoder.words):
            nn.init.normal_(shared.weight, std=hidden**-0.5)
        self.kind = nn.Parameter(torch.zeros(len(VERBS)))
        self.fading = nn.Parameter(torch.tensor(START_FADING))
        self.scale = nn.Parameter(torch.tensor(START_SCALE))
        self.user = nn.Linear(hidden, settings.dimensions)
        nn.init.normal_(self.user.weight, std=START)
        self.price = nn.Linear(2, hidden)
        self.itself = embedding(1 + len(bias), hidden)
        self.itself_bias = nn.Parameter(torch.from_numpy(np.concatenate([[0.0], bias])).float())
        self.start = nn.LayerNorm(hidden)
        self.ad = nn.Linear(hidden, settings.dimensions)
        self.ad_bias = nn.Linear(hidden, 1)
        nn.init.zeros_(self.ad_bias.weight)
        nn.init.zeros_(self.ad_bias.bias)
        self.age = nn.Parameter(torch.zeros(AGE_BUCKETS))
        self.ad_dropout = settings.ad_dropout

    def users(self, batch: Batch) -> Tensor:
        """(s p, A h) of each read, (n_reads, hidden + dimensions)."""
        learned = self.user(self.encoder.dropout(self.encoder.read(batch)))
        return torch.cat([self.scale * self.lately(batch), learned], dim=1)

    def lately(self, batch: Batch) -> Tensor:
        """p of each read, (n_reads, hidden)."""
        events = batch.events
        words = self.encoder.words(batch.words, batch.bags)[events["text"]]
        content = (words + self.about(events["advertiser"], events["category"]))[batch.row]
        days = torch.expm1(batch.gap).cumsum(dim=1)[batch.row]
        ago = days.gather(1, (batch.token - 1).clamp(min=0)[:, None]) - days
        weight = torch.exp(self.kind[events["kind"]][batch.row] - self.fading * torch.log1p(ago.clamp(min=0)))
        weight = weight * (torch.arange(days.shape[1]) < batch.token[:, None])
        mean: Tensor = (weight[:, None] @ content)[:, 0] / (1 + weight.sum(dim=1, keepdim=True))
        return mean

    def about(self, advertiser: Tensor, category: Tensor) -> Tensor:
        """Embeddings of advertiser and category, nothing for one that is not there or not known."""
        whose: Tensor = self.encoder.advertiser(advertiser) * (advertiser >= KNOWN)[..., None]
        what: Tensor = self.encoder.category(category) * (category >= KNOWN)[..., None]
        both: Tensor = whose + what
        return both

    def ads(self, tokens: AdTokens, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """(c, B x), (n, hidden + dimensions), and the rest of the score without age, (n,), of some ads."""
        words = [tokens.words[row] for row in rows]
        bags = torch.from_numpy(np.cumsum([0, *(len(bag) for bag in words[:-1])]))
        content = self.encoder.words(torch.from_numpy(np.concatenate(words)), bags)
        content = content + self.about(
            torch.from_numpy(tokens.advertiser[rows]), torch.from_numpy(tokens.category[rows])
        )
        itself = torch.from_numpy(tokens.itself[rows])
        if self.training:
            itself = torch.where(torch.rand(len(rows)) < self.ad_dropout, 0, itself)
        known = (itself > 0).float()
        price = self.price(torch.from_numpy(tokens.price[rows]))
        x = self.start(content + price + self.itself(itself) * known[:, None])
        return torch.cat([content, self.ad(x)], dim=1), self.ad_bias(x)[:, 0] + self.itself_bias[itself] * known
