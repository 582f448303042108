"""Trains the two towers on positives; held-out users (by hash of their id) choose after which epoch to stop.

AdamW, linear warm-up, then half a cosine. On one thread a run is a function of positives, settings and seed. It imports
torch, so it is itself imported only inside functions.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch

from ml.candidates.ad_tokens import AdTokens, AdVocabulary, age_bucket
from ml.candidates.positives import Positives
from ml.candidates.sampled_softmax import Sampled, Sampler, loss_of
from ml.candidates.settings import TowerSettings
from ml.candidates.two_tower_network import TwoTowerNetwork
from ml.llm.batches import scoring_batches, training_batches
from ml.llm.head import log_popularity
from ml.llm.optimizer import learning_rate_share
from ml.predictors.sequence_tokens import Tokens, windows_of
from ml.predictors.stream_encoder import adamw_of, make_batch

JUDGED_ADS, JUDGED_POSITIVES = 10_000, 4_000
"""Most ads that the held-out loss sums over, and most positives that it is the mean of; both drawn uniformly."""
CLIP_NORM = 1.0


@dataclass(frozen=True)
class Trained:
    """A network, and the held-out users' loss (nats) after each epoch; () without any."""

    network: TwoTowerNetwork
    epoch: int
    losses: tuple[float, ...]
    popularity_loss: float
    """Of the same positives if popularity alone told them; nan without held-out positives."""


def train(
    tokens: Tokens,
    ads: AdTokens,
    vocabulary: AdVocabulary,
    positives: Positives,
    held_out: np.ndarray,
    settings: TowerSettings,
    seed: int,
) -> Trained:
    """Train on the positives of users who are not held out.

    Args:
        tokens: the streams.
        ads: all ads of the training.
        vocabulary: of both.
        positives: at least one.
        held_out: shape (n_users,), bool.
        settings: of the towers.
        seed: of weights, batches, negatives and dropout.
    """
    mine = held_out[positives.user]
    if mine.all():  # nobody to learn from: too few users for a hash to part them
        mine = np.zeros(len(positives), dtype=bool)
    run = Run(tokens, ads, vocabulary, positives.take(~mine), settings, seed)
    judged = positives.take(mine)
    losses: list[float] = []
    best = run.network
    if not len(judged):
        for _ in range(settings.epochs):
            run.epoch()
        return Trained(run.network.eval(), settings.epochs, (), float("nan"))
    judge = Judge(tokens, ads, judged, settings, seed)
    popular = judge.loss(run.popularity)
    for _ in range(settings.epochs):
        run.epoch()
        losses.append(judge.loss(run.network))
        if losses[-1] == min(losses):
            best = copy.deepcopy(run.network)
        if len(losses) - 1 - int(np.argmin(losses)) >= settings.patience:
            break
    return Trained(best.eval(), int(np.argmin(losses)) + 1, tuple(losses), popular)


class Run:
    """One network on its way through some epochs."""

    def __init__(
        self,
        tokens: Tokens,
        ads: AdTokens,
        vocabulary: AdVocabulary,
        positives: Positives,
        settings: TowerSettings,
        seed: int,
    ) -> None:
        self.tokens, self.ads, self.positives, self.settings = tokens, ads, positives, settings
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        counts = np.bincount(positives.ad, positives.weight, minlength=len(vocabulary.ad_ids))
        bias = log_popularity(counts)
        self.popularity = torch.from_numpy(bias).float()
        self.network = TwoTowerNetwork(vocabulary, bias - np.log(np.exp(bias).mean()), settings)
        self.adamw = adamw_of(self.network, settings.learning_rate, settings.weight_decay)
        self.windows = windows_of(positives.user, positives.position, tokens.offsets, settings.max_events)
        shares = np.bincount(positives.ad, minlength=len(counts)) / len(positives)
        self.sample = Sampler(shares, uniform=settings.uniform_negatives, log_q=settings.log_q)
        self.done = self.steps = 0

    def epoch(self) -> None:
        """One pass over the positives in a new random order."""
        batches = training_batches(self.windows.length + 1, self.settings.batch_tokens, self.rng)
        self.steps = self.steps or len(batches) * self.settings.epochs
        self.network.train()
        for rows in batches:
            batch, numbers = make_batch(self.tokens, self.windows, rows)
            mine = self.positives.take(numbers)
            sampled = self.sample(mine.ad, self.rng)
            scores = score(self.network, self.network.users(batch), self.ads, sampled.ads, mine.day)
            losses = loss_of(scores, mine.ad, sampled, possible(self.ads, sampled.ads, mine.day))
            weight = torch.from_numpy(mine.weight).float()
            self.adamw.zero_grad(set_to_none=True)
            ((losses * weight).sum() / weight.sum()).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
            share = learning_rate_share(min(self.done, self.steps - 1), self.steps, self.settings.warmup_share)
            for group in self.adamw.param_groups:
                group["lr"] = share * self.settings.learning_rate
            self.adamw.step()
            self.done += 1


class Judge:
    """The held-out loss: over the same ads after every epoch, all of them or a uniform sample and the positives."""

    def __init__(self, tokens: Tokens, ads: AdTokens, positives: Positives, settings: TowerSettings, seed: int) -> None:
        n_ads, rng = len(ads.itself), np.random.default_rng([seed, 1])
        positives = positives.take(np.sort(rng.permutation(len(positives))[:JUDGED_POSITIVES]))
        self.tokens, self.ads, self.positives, self.settings = tokens, ads, positives, settings
        self.windows = windows_of(positives.user, positives.position, tokens.offsets, settings.max_events)
        drawn = rng.permutation(n_ads)[:JUDGED_ADS]
        chosen = np.union1d(drawn, positives.ad)
        # A positive that was not drawn stands only for itself: in the sums of the others it weighs nothing.
        weight = np.where(np.isin(chosen, drawn), np.log(n_ads / len(drawn)), -np.inf)
        self.sampled = Sampled(chosen, weight)

    def loss(self, model: TwoTowerNetwork | torch.Tensor) -> float:
        """Weighted mean loss, nats, of a network or of log shares of all ads alone, shape (n_ads,)."""
        total = 0.0
        with torch.inference_mode():
            for rows in scoring_batches(self.windows.length + 1, self.settings.batch_tokens):
                batch, numbers = make_batch(self.tokens, self.windows, rows)
                mine, sampled = self.positives.take(numbers), self.sampled
                if isinstance(model, torch.Tensor):
                    scores = model[torch.from_numpy(sampled.ads)].expand(len(mine), -1)
                else:
                    scores = score(model.eval(), model.users(batch), self.ads, sampled.ads, mine.day)
                losses = loss_of(scores, mine.ad, sampled, possible(self.ads, sampled.ads, mine.day))
                total += float((losses * torch.from_numpy(mine.weight).float()).sum())
        return total / float(self.positives.weight.sum())


def score(
    network: TwoTowerNetwork, users: torch.Tensor, tokens: AdTokens, ads: np.ndarray, day: np.ndarray
) -> torch.Tensor:
    """Scores, (n, n_ads), of users (u, (n, dimensions)) and some ads on each user's day, shape (n,)."""
    vectors, bias = network.ads(tokens, ads)
    age = age_bucket(tokens.created[ads], day[:, None])
    return users @ vectors.T + bias + network.age[torch.from_numpy(age)]


def possible(tokens: AdTokens, ads: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Could each ad be shown on each day? Shape (n_days, n_ads)."""
    shown: np.ndarray = (tokens.opens[ads] <= day[:, None]) & (day[:, None] <= tokens.closes[ads])
    return shown
