"""The retrieval model: two towers, trained once, that give vectors to any stream and any ad of a later day.

    towers = TwoTower.fit(contexts, ads, positives, settings, seed=7)
    towers.user_vectors(contexts) @ towers.ad_vectors(ads, day).T          # scores

It is trained at the Timeline's predictor cutoff, as the sources are: so its scores may be features of the ranker's
impressions, and quotas may be chosen with it on the validation window. A user's newer events move his vector all the
same, since the tower reads the stream as it is. It does not know which ads may be shown (`ml.candidates.index`).

On one thread the same seed gives the same bits on the same machine. torch is imported when it is fitted, read or
loaded, not before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.artifacts import write_json
from ml.candidates.ad_tokens import AdVocabulary, age_bucket, day_number, tokenize_ads
from ml.candidates.positives import Positives
from ml.candidates.settings import TowerSettings
from ml.contexts.stream import PROFILE_FIELDS, UserContexts
from ml.errors import BadInput
from ml.predictors.held_out import held_out_users
from ml.predictors.sequence_tokens import Vocabulary, tokenize, windows_of

if TYPE_CHECKING:
    from ml.candidates.two_tower_network import TwoTowerNetwork

_ADS_AT_ONCE = 65_536
_FILES = ("network.safetensors", "towers.json", "ads.parquet")


@dataclass
class TwoTower:
    """The trained towers, and what they have embeddings for."""

    vocabulary: AdVocabulary
    network: TwoTowerNetwork
    settings: TowerSettings
    known_until: date
    """Last day of what it was trained on."""
    positives: int
    """How many."""
    quality: dict[str, float]
    """two_tower_log_loss and popularity_log_loss, nats, of held-out users' positives; empty without any."""

    @classmethod
    def fit(
        cls, contexts: UserContexts, ads: pd.DataFrame, positives: Positives, settings: TowerSettings, *, seed: int
    ) -> TwoTower:
        """Learn from positives.

        Args:
            contexts: all consenting users' streams at the cutoff.
            ads: columns of `ml.candidates.ad_tokens.known_ads`, as known by then.
            positives: see `ml.candidates.positives.read_positives`.
            settings: of the towers.
            seed: of everything random.

        Raises:
            BadInput: there is no positive.
        """
        if not len(positives):
            raise BadInput(
                f"nothing to train retrieval on: no {settings.objective} with a known ad by {contexts.as_of}",
                where="candidates.tower.objective",
                remedy="choose the objective that the logs hold: clicks, dwell or conversions",
            )
        import torch

        from ml.candidates.two_tower_train import train
        from ml.llm.probe import use_threads

        vocabulary = AdVocabulary.of(contexts, ads, settings.word_buckets)
        held_out = held_out_users(contexts.user_ids, settings.held_out_share)
        tokens, ad_tokens = tokenize(contexts, vocabulary.stream), tokenize_ads(ads, vocabulary)
        with use_threads(settings.threads), torch.random.fork_rng(devices=[]):
            trained = train(tokens, ad_tokens, vocabulary, positives, held_out, settings, seed)
        quality = {"popularity_log_loss": trained.popularity_loss} if trained.losses else {}
        quality |= {"two_tower_log_loss": min(trained.losses)} if trained.losses else {}
        return cls(vocabulary, trained.network, settings, contexts.as_of, len(positives), quality)

    @property
    def width(self) -> int:
        """Length of the vectors."""
        return self.settings.hidden + self.settings.dimensions + 1

    def user_vectors(self, contexts: UserContexts) -> np.ndarray:
        """Vector of each user at the end of his stream, float32, shape (n_users, width)."""
        return self.user_vectors_at(contexts, np.arange(len(contexts)), np.diff(contexts.offsets))

    def user_vectors_at(self, contexts: UserContexts, user: np.ndarray, position: np.ndarray) -> np.ndarray:
        """The same at some positions; an event changes only what is read after it.

        Args:
            contexts: the streams.
            user: shape (n,), rows of users.
            position: shape (n,), events known by then.

        Returns:
            float32, shape (n, width).
        """
        import torch

        from ml.llm.batches import scoring_batches
        from ml.llm.probe import use_threads
        from ml.predictors.stream_encoder import make_batch

        tokens = tokenize(contexts, self.vocabulary.stream)
        windows = windows_of(user, position, tokens.offsets, self.settings.max_events)
        vectors = np.ones((len(user), self.width), dtype=np.float32)
        with use_threads(self.settings.threads), torch.inference_mode():
            for rows in scoring_batches(windows.length + 1, self.settings.batch_tokens):
                batch, numbers = make_batch(tokens, windows, rows)
                vectors[numbers, :-1] = self.network.users(batch).numpy()
        return vectors

    def ad_vectors(self, ads: pd.DataFrame, day: date) -> np.ndarray:
        """Vector of each ad at its age on `day`, float32, shape (n_ads, width).

        An ad unknown to the training gets a vector by its features.

        Args:
            ads: columns of `ml.candidates.ad_tokens.known_ads`.
            day: when it would be shown.
        """
        import torch

        from ml.llm.probe import use_threads

        tokens = tokenize_ads(ads, self.vocabulary)
        vectors = np.empty((len(ads), self.width), dtype=np.float32)
        age = self.network.age.detach().numpy()[age_bucket(tokens.created, float(day_number(day)))]
        with use_threads(self.settings.threads), torch.inference_mode():
            for start in range(0, len(ads), _ADS_AT_ONCE):
                rows = np.arange(start, min(start + _ADS_AT_ONCE, len(ads)))
                found, bias = self.network.ads(tokens, rows)
                vectors[rows, :-1], vectors[rows, -1] = found.numpy(), bias.numpy() + age[rows]
        return vectors

    def save(self, directory: Path) -> None:
        """Write weights (safetensors), vocabularies and settings into `directory`."""
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        stream = self.vocabulary.stream
        save_file({n: t.contiguous() for n, t in self.network.state_dict().items()}, directory / _FILES[0])
        pd.DataFrame({"ad_id": self.vocabulary.ad_ids.astype(str)}).to_parquet(directory / _FILES[2], index=False)
        described = {
            "known_until": self.known_until.isoformat(),
            "settings": self.settings.model_dump(mode="json"),
            "positives": self.positives,
            "quality": self.quality,
            "price": [self.vocabulary.price_mean, self.vocabulary.price_deviation],
            "advertiser_ids": stream.advertiser_ids.tolist(),
            "categories": stream.categories.tolist(),
            "profiles": {f: values.tolist() for f, values in zip(PROFILE_FIELDS, stream.profiles, strict=True)},
            "word_buckets": stream.word_buckets,
        }
        write_json(directory / _FILES[1], described)

    @classmethod
    def load(cls, directory: Path) -> TwoTower:
        """What `save` wrote.

        Raises:
            BadInput: the directory holds no towers.
        """
        if not all((directory / name).exists() for name in _FILES):
            raise BadInput(
                "no two-tower model here", where=str(directory), remedy="materialise retrieval_model for this day"
            )
        from safetensors.torch import load_file

        from ml.candidates.two_tower_network import TwoTowerNetwork

        described = json.loads((directory / _FILES[1]).read_text())
        stream = Vocabulary(
            advertiser_ids=np.array(described["advertiser_ids"], dtype=object),
            categories=np.array(described["categories"], dtype=object),
            profiles=tuple(np.array(described["profiles"][field], dtype=object) for field in PROFILE_FIELDS),
            word_buckets=described["word_buckets"],
        )
        ad_ids = pd.read_parquet(directory / _FILES[2])["ad_id"].to_numpy(dtype=object)
        vocabulary = AdVocabulary(stream, ad_ids, *described["price"])
        settings = TowerSettings.model_validate(described["settings"])
        network = TwoTowerNetwork(vocabulary, np.zeros(len(ad_ids)), settings)
        network.load_state_dict(load_file(directory / _FILES[0]))
        until, positives = date.fromisoformat(described["known_until"]), described["positives"]
        return cls(vocabulary, network.eval(), settings, until, positives, described["quality"])
