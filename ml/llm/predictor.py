"""The advertiser LLM as a source of predictions: one pass a user, then one matrix product over the catalogue.

Hidden states do not depend on the catalogue: keep them, and a changed catalogue costs no LLM call
(`with_catalogue`). Adapters are merged into the weights on loading, and only into the base they were
trained on: another base is refused, never silently used.
"""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from ml.artifacts import fingerprint_of, sha256
from ml.contexts.render import PROMPT_VERSION
from ml.contexts.stream import TrainingExamples, UserContexts
from ml.errors import BadInput
from ml.llm import checkpoint
from ml.llm.base_model import base_fingerprint, load_base_model
from ml.llm.batches import Layout, encode, lay_out
from ml.llm.frozen import frozen_key
from ml.llm.head import AdvertiserHead
from ml.llm.interests import COLUMNS, top_interests
from ml.llm.lora import load_merged
from ml.llm.probe import use_threads
from ml.llm.reader import open_reader
from ml.llm.reading import advertiser_lines, embed_lines, read_layout
from ml.llm.scoring import CatalogueScores
from ml.llm.settings import LLMSettings
from ml.llm.tokens import LineTokenizer
from ml.llm.train import train
from ml.predictors.predictions import from_likeliest
from ml.predictors.prior_shift import PriorShift
from ml.progress import Progress, silent

if TYPE_CHECKING:
    import torch


class LLMPredictor:
    """Keeps AdvertiserPredictor. Either `fit` it, or `load` a published checkpoint.

    Args:
        base: directory of the base model.
        settings: how to train and score.
        seed: of `fit`.
        model_version: written into predictions; `fit` replaces it by a hash of what it has learned.
        cache: where the states of frozen layers are kept (see `ml.llm.frozen`): worth its disk where the same prompts
            are read by several models on one base, such as seeds or trials.
    """

    name = "llm"

    def __init__(
        self, base: Path, settings: LLMSettings, *, seed: int = 0, model_version: str = "", cache: Path | None = None
    ) -> None:
        self.base, self.settings, self.seed, self.model_version = base, settings, seed, model_version
        self.cache = cache
        self.catalogue = pd.DataFrame()
        self._config: dict[str, Any] = {}

    def fit(self, examples: TrainingExamples) -> Self:
        """Train in a temporary directory and take up the result; the pipeline calls `train` and `load` instead."""
        with tempfile.TemporaryDirectory() as work:
            train(examples, self.base, self.settings, seed=self.seed, work=Path(work), cache=self.cache)
            self._take_up(Path(work))
            learned = [Path(work) / checkpoint.HEAD, *Path(work, checkpoint.ADAPTER).glob("*.safetensors")]
            self.model_version = fingerprint_of([sha256(path) for path in learned])
        return self

    @classmethod
    def load(
        cls, directory: Path, base: Path, *, model_version: str, settings: LLMSettings, cache: Path | None = None
    ) -> LLMPredictor:
        """A trained predictor.

        Args:
            directory: the checkpoint.
            base: directory of the base model it was trained on.
            model_version: written into predictions.
            settings: how to score here: device, dtype and threads (auto: as in training), batch size.
            cache: see the class.

        Raises:
            BadInput: no complete checkpoint, another base model, or another version of the prompt.
        """
        predictor = cls(base, settings, model_version=model_version, cache=cache)
        predictor._take_up(directory)
        return predictor

    @property
    def known_until(self) -> date:
        """Last day of labels the model has seen."""
        return date.fromisoformat(self._config["known_until"])

    @property
    def advertiser_ids(self) -> np.ndarray:
        """Columns of `distribution`, shape (n_advertisers,)."""
        return self.catalogue["advertiser_id"].to_numpy()

    def predict(self, contexts: UserContexts, k: int) -> pd.DataFrame:
        """The k likeliest advertisers of each user, as a table of `ml.predictors.predictions`."""
        return self.table(self.hidden_states(contexts), contexts, k)

    def table(self, hidden: np.ndarray, contexts: UserContexts, k: int) -> pd.DataFrame:
        """Predictions from hidden states at hand, shape (n_users, hidden)."""
        with use_threads(self._threads):
            columns, probabilities = self._scores.likeliest(hidden, min(k, len(self.catalogue)))
        return from_likeliest(
            columns,
            probabilities,
            user_ids=contexts.user_ids,
            advertiser_ids=self.advertiser_ids,
            day=contexts.as_of,
            source=self.name,
            model_version=self.model_version,
        )

    def hidden_states(self, contexts: UserContexts, progress: Progress = silent) -> np.ndarray:
        """What the model has read at the end of each stream, float32, shape (n_users, hidden)."""
        return self.hidden_states_at(contexts, np.arange(len(contexts)), np.diff(contexts.offsets), progress)

    def hidden_states_at(
        self, contexts: UserContexts, user: np.ndarray, position: np.ndarray, progress: Progress = silent
    ) -> np.ndarray:
        """What the model has read at some positions; several of one user share a pass where nothing is cut off.

        Args:
            contexts: the streams; past snapshots of a user are positions in the stream of a later one.
            user: shape (n,), row of the user.
            position: shape (n,), events known by then.
            progress: told the tokens done.

        Returns:
            float32, shape (n, hidden): the same as reading each prefix as a context of its own.
        """
        lines = encode(contexts, self._tokenizer)
        layout = lay_out(lines, user, position, self.settings.max_prompt_tokens, exact=True)
        return self.read(layout, progress)

    def read(self, layout: Layout, progress: Progress = silent) -> np.ndarray:
        """Hidden states of a layout's reads, float32, shape (n_reads, hidden)."""
        with use_threads(self._threads):
            if self.cache is None:
                return read_layout(self._model, layout, self.settings.score_batch_tokens, self._device, progress)
            trained = LLMSettings(**self._config["settings"])
            kept = self.cache / frozen_key(self.base, trained, self._dtype, self._config["seed"])
            return open_reader(self._model, [layout], trained, kept, self._device, progress).all(layout)

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """The whole distribution of each user, float64, shape (n_users, n_advertisers); rows sum to 1."""
        return self.distribution(self.hidden_states(contexts))

    def distribution(self, hidden: np.ndarray) -> np.ndarray:
        """P(advertiser | converts) over the catalogue, float64, shape (n, n_advertisers); rows sum to 1.

        Args:
            hidden: shape (n, hidden), from `hidden_states` of this model version.
        """
        with use_threads(self._threads):
            return self._scores.distribution(hidden)

    def interest_distribution(self, hidden: np.ndarray) -> np.ndarray:
        """P(interest | converts with one of them), float64, shape (n, n_interests); no columns if trained without."""
        if self._interests is None:
            return np.zeros((len(hidden), 0))
        with use_threads(self._threads):
            return self._interests.probabilities(hidden)

    def interests(self, hidden: np.ndarray, contexts: UserContexts) -> pd.DataFrame:
        """The likeliest interests of each user, as `ml.llm.interests.COLUMNS`; no rows if trained without them.

        Args:
            hidden: shape (n_users, hidden), from `hidden_states` of this model version.
            contexts: the same users.
        """
        if self._interests is None or not len(hidden):
            return pd.DataFrame(columns=COLUMNS)
        return top_interests(
            self.interest_distribution(hidden),
            self._interests.names,
            contexts.user_ids,
            contexts.as_of,
            self.model_version,
            self.settings.top_interests,
        )

    def with_catalogue(self, catalogue: pd.DataFrame) -> LLMPredictor:
        """This model over another catalogue; only texts it has not embedded yet are read, by the frozen base.

        An advertiser it was never trained on gets its text, no residual, and a bias by its known conversions
        (see `ml.llm.head`).
        """
        if not len(catalogue):
            raise BadInput("the catalogue is empty", where="catalogue", remedy="check active_from and active_to")
        rows = pd.Index(self.catalogue["advertiser_id"]).get_indexer(pd.Index(catalogue["advertiser_id"]))
        before, after = np.array(advertiser_lines(self.catalogue)), np.array(advertiser_lines(catalogue))
        text = self._head.tensors["text"].numpy()[np.maximum(rows, 0)].copy()
        fresh = np.flatnonzero((rows < 0) | (before[np.maximum(rows, 0)] != after))
        if len(fresh):
            with use_threads(self._threads):
                frozen = self._frozen_model()
                text[fresh] = embed_lines(
                    frozen, after[fresh].tolist(), self._tokenizer, self.settings.score_batch_tokens, self._device
                )
        other = self._copy()
        other.catalogue = catalogue.reset_index(drop=True)
        other._use(self._head.for_catalogue(rows, text, catalogue["conversions"].to_numpy()))
        return other

    def with_prior_shift(self, correction: PriorShift, everyone: UserContexts) -> LLMPredictor:
        """This model, corrected for what everybody has converted with lately (see `ml.predictors.prior_shift`).

        Args:
            correction: fitted on the validation window.
            everyone: streams of the day that is forecast from.
        """
        other = self._copy()
        added = correction.of_day(everyone, self.advertiser_ids)
        other._scores = CatalogueScores(self._head, self._config["temperature"] / correction.sharpness, added)
        return other

    def _copy(self) -> LLMPredictor:
        other = LLMPredictor(self.base, self.settings, seed=self.seed, model_version=self.model_version)
        other.__dict__.update(self.__dict__)
        return other

    def _take_up(self, directory: Path) -> None:
        config = checkpoint.read_json(directory, checkpoint.CONFIG)
        for what, trained, here in (
            ("base model", config["base_fingerprint"].split("-random-")[0], base_fingerprint(self.base)),
            ("prompt version", config["prompt_version"], PROMPT_VERSION),
        ):
            if trained != here:
                raise BadInput(
                    f"the checkpoint was trained on another {what}: {trained}, here it is {here}",
                    where=f"{directory}, base {self.base}",
                    remedy=f"use {config['base_model']} as it was, or train again",
                )
        self._config, self.catalogue = config, pd.read_parquet(directory / checkpoint.CATALOGUE)
        self._tokenizer = LineTokenizer(self.base)
        self._device, self._dtype, self._threads = _compute(config, self.settings)
        self._use(checkpoint.load_head(directory))
        self._interests = checkpoint.load_interests(directory, config["interests"])
        self._model: torch.nn.Module = load_merged(self._frozen_model(), directory / checkpoint.ADAPTER)

    def _use(self, head: AdvertiserHead) -> None:
        self._head, self._scores = head, CatalogueScores(head, self._config["temperature"])

    def _frozen_model(self) -> torch.nn.Module:
        """The base without adapters, with the weights it had in training."""
        random = self._config["seed"] if self._config["settings"]["weights"] == "random" else None
        return load_base_model(self.base, self._dtype, self._device, random=random)


def _compute(config: dict[str, Any], settings: LLMSettings) -> tuple[str, str, int]:
    """Device, dtype and threads: the settings', and what training chose where they say auto."""
    import torch

    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = config["dtype"] if settings.dtype == "auto" else settings.dtype
    return device, dtype, settings.threads or min(config["threads"], torch.get_num_threads())
