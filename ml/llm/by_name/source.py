"""The LLM by name as a source of predictions: reads a prompt, then writes one of the catalogue's names.

    LLMByName(base, ByNameSettings(zero_shot=True)).fit(examples).predict(contexts, 10)

The paper's form and the control of the one pass (`ml.llm.predictor`): same prompts, same base, same adapters, many
times the cost. It is no part of the daily pipeline: `python -m benchmarks.by_name` compares the two.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ml.artifacts import fingerprint_of
from ml.contexts.render import PROMPT_VERSION
from ml.contexts.stream import TrainingExamples, UserContexts
from ml.llm.base_model import base_fingerprint, load_base_model
from ml.llm.batches import encode, lay_out, scoring_batches
from ml.llm.by_name.reader import NextToken, NodeReader, Reading, vocabulary_matrix
from ml.llm.by_name.search import Found, search, users_at_once
from ml.llm.by_name.training import Learned, count_targets, train_names
from ml.llm.by_name.trie import Names, NameTrie
from ml.llm.frozen import frozen_key
from ml.llm.probe import choose_compute, use_threads
from ml.llm.settings import LLMSettings
from ml.llm.tokens import LineTokenizer
from ml.predictors.predictions import from_likeliest


class ByNameSettings(BaseModel):
    """How names are learned and decoded."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    llm: LLMSettings = Field(default_factory=LLMSettings)
    """Prompt, sample, adapters and compute, as for the one pass; its advertiser head is not used here."""
    zero_shot: bool = False
    """Ask the base model as it is, without fine-tuning."""
    beam: int = Field(default=50, ge=1)
    """Hypotheses kept for each user."""
    reading: Reading = "catalogue"
    """Probability of a token among those that go on to a name (`catalogue`), or among all (`vocabulary`)."""


class LLMByName:
    """Keeps AdvertiserPredictor.

    Advertisers whose names read the same share the name's probability in proportion to their conversions among the
    training targets, plus one.

    Args:
        base: directory of the base model.
        settings: how to train and decode.
        seed: of the fine-tuning.
        cache: where the states of frozen layers are kept (see `ml.llm.frozen`).
    """

    name = "llm_by_name"

    def __init__(self, base: Path, settings: ByNameSettings, *, seed: int = 0, cache: Path | None = None) -> None:
        self.base, self.settings, self.seed, self.cache = base, settings, seed, cache
        self.model_version = ""
        self.catalogue = pd.DataFrame()
        self.learned: Learned | None = None

    def fit(self, examples: TrainingExamples) -> Self:
        """Fine-tune on a sample of the users, unless `zero_shot`; the catalogue's names become the trie."""
        llm = self.settings.llm
        compute = choose_compute(self.base, llm)
        self._device, self._threads = compute.device, compute.threads
        with use_threads(self._threads):
            self.catalogue, self._tokenizer = examples.catalogue, LineTokenizer(self.base)
            self._names = Names.of(self.catalogue["name"].tolist(), self._tokenizer)
            self._trie = NameTrie.of(self._names.ids)
            self._share = _shares(count_targets(examples), self._names.of_advertiser)
            random = self.seed if llm.weights == "random" else None
            model: Any = load_base_model(self.base, compute.dtype, compute.device, random=random)
            if not self.settings.zero_shot:
                kept = self.cache and self.cache / frozen_key(self.base, llm, compute.dtype, self.seed)
                self.learned = train_names(
                    examples,
                    self._names,
                    model,
                    self._tokenizer,
                    llm,
                    seed=self.seed,
                    device=compute.device,
                    cache=kept,
                )
                model = self.learned.model
            self._model = model
            self._following = NextToken(vocabulary_matrix(model), self._trie, self.settings.reading)
        self.model_version = self._version()
        return self

    def read_as(self, reading: Reading) -> LLMByName:
        """This fitted source with its probabilities read the other way (see `ByNameSettings.reading`)."""
        other = copy.copy(self)
        other.settings = self.settings.model_copy(update={"reading": reading})
        other._following = NextToken(vocabulary_matrix(self._model), self._trie, reading)
        other.model_version = other._version()
        return other

    @property
    def advertiser_ids(self) -> np.ndarray:
        """Columns of `probabilities`, shape (n_advertisers,)."""
        return self.catalogue["advertiser_id"].to_numpy()

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """The whole distribution of each user, float64, shape (n_users, n_advertisers); rows sum to 1.

        Scores every name, at many times the cost of `predict`; in the reading `vocabulary` divided by their sum.
        """
        found = np.zeros((len(contexts), len(self.catalogue)))
        for rows, names in self.search(contexts, len(self._trie)):
            of_name = np.zeros((len(rows), len(self._names.ids)))
            np.put_along_axis(of_name, names.name, np.exp(names.score), axis=1)
            found[rows] = of_name[:, self._names.of_advertiser] * self._share
        found /= found.sum(axis=1, keepdims=True)
        return found

    def predict(self, contexts: UserContexts, k: int) -> pd.DataFrame:
        """The k likeliest advertisers that the beam finds, as a table of `ml.predictors.predictions`.

        Their probabilities are the names' own: in the reading `vocabulary` they are not divided by the sum over the
        catalogue, which a beam does not know.
        """
        k = min(k, len(self.catalogue))
        column, probability = np.empty((len(contexts), k), dtype=np.int64), np.empty((len(contexts), k))
        for rows, names in self.search(contexts, max(k, self.settings.beam)):
            column[rows], probability[rows] = self._likeliest(names, k)
        return from_likeliest(
            column,
            probability,
            user_ids=contexts.user_ids,
            advertiser_ids=self.advertiser_ids,
            day=contexts.as_of,
            source=self.name,
            model_version=self.model_version,
        )

    def search(self, contexts: UserContexts, beam: int) -> Iterator[tuple[np.ndarray, Found]]:
        """Names found for some users after others: rows of `contexts`, and what was found for them."""
        import torch

        lines = encode(contexts, self._tokenizer)
        everyone = np.arange(len(contexts))
        layout = lay_out(lines, everyone, np.diff(contexts.offsets), self.settings.llm.max_prompt_tokens, exact=True)
        prompts = [np.concatenate([layout.prompts[row], self._names.cue]) for row in layout.prompt]
        if not prompts:
            return
        lengths = np.array([len(prompt) for prompt in prompts])
        tokens = self.settings.llm.score_batch_tokens
        most = users_at_once(self._trie, int(lengths.max()), beam, tokens)
        for batch in scoring_batches(lengths, tokens):
            for rows in np.array_split(batch, -(-len(batch) // most)):
                reader = NodeReader(self._model, self._trie, self._device)
                with use_threads(self._threads), torch.inference_mode():
                    found = search(reader, self._following, [prompts[row] for row in rows], beam)
                yield rows, found

    def _likeliest(self, names: Found, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Names to advertisers: columns and probabilities of the k likeliest, both (n_users, k)."""
        of_name = np.full((len(names.name), len(self._names.ids)), -1.0)
        np.put_along_axis(of_name, names.name, np.exp(names.score), axis=1)
        found = of_name[:, self._names.of_advertiser] * self._share
        top = np.argsort(-found, axis=1, kind="stable")[:, :k]
        return top, np.take_along_axis(found, top, axis=1)

    def _version(self) -> str:
        """Hash of the weights, the names and their shares."""
        llm = self.settings.llm
        learned = hashlib.sha256()
        if self.learned:
            for _, tensor in sorted(self._model.state_dict().items()):
                learned.update(tensor.detach().float().cpu().numpy().tobytes())
        weights = [base_fingerprint(self.base), llm.weights, self.seed, learned.hexdigest(), PROMPT_VERSION]
        return fingerprint_of([*weights, self.settings.reading, self.catalogue.to_dict("list"), self._share.tolist()])


def _shares(counts: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    """Share of each advertiser in its name's probability, shape (n_advertisers,)."""
    weight = counts + 1.0
    shares: np.ndarray = weight / np.bincount(leaf, weights=weight)[leaf]
    return shares
