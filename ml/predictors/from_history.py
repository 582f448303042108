"""What sources share whose scores come from a user's own past conversions alone: EASE, iALS, item neighbours.

Hyperparameters that a source offers several of, and the calibration, are those with the least log loss on held-out
users: the source is fitted on the other users, and the last target of each held-out one is read from the history before
it; then it is fitted on all. They know neither time (beyond a decay of the past) nor text. A user without conversions
gets popularity; that is part of the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.blocks import InBlocks
from ml.predictors.held_out import held_out_users
from ml.predictors.histories import Histories, columns_of, read_histories
from ml.predictors.popularity import Popularity, PopularitySettings, version
from ml.predictors.scores import Calibration, calibrate, to_probabilities


class FromHistorySettings(BaseModel):
    """What these sources have in common."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    own_bonus: float = Field(default=0.1, ge=0)
    """Weight of log(1 + own conversions with the advertiser) beside the score."""
    half_life_days: float | None = Field(default=None, gt=0)
    """Days between two conversions of a user for the older one to weigh half when he is scored; null: all weigh 1."""
    held_out_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of users (by hash of their id) that choose hyperparameters and calibration; the fit is repeated on all."""
    held_out_users: int = Field(default=1000, ge=1)
    """Most held-out users that are read."""
    popularity: PopularitySettings = Field(default_factory=PopularitySettings)
    """The fallback for users without conversions, and the floor under the scores of the others."""


class FromHistory(InBlocks):
    """A source that subclasses complete with `options`, `learn` and `score`."""

    settings: FromHistorySettings
    popularity: Popularity
    option: Any
    """The hyperparameters chosen."""
    model: Any
    calibration: Calibration
    model_version: str

    def options(self) -> Sequence[Any]:
        """Hyperparameters to choose from on held-out users, the safest first."""
        return [None]

    def learn(self, bought: Any, option: Any) -> Any:
        """A model out of a binary user x advertiser matrix (scipy CSR)."""
        raise NotImplementedError

    def score(self, model: Any, weights: Any) -> np.ndarray:
        """Scores of users, shape (n, n_advertisers), out of the weights of their past (CSR, each at most 1)."""
        raise NotImplementedError

    @property
    def advertiser_ids(self) -> np.ndarray:
        return self.popularity.catalogue_ids

    def fit(self, examples: TrainingExamples) -> Self:
        """Choose hyperparameters and calibration on held-out users, then fit on all.

        Without a single held-out target (nobody converts twice) there is nothing to calibrate on: the scores
        are then taken as they are (sharpness 1), with the first option.
        """
        self.popularity = Popularity(self.settings.popularity).fit(examples)
        histories = read_histories(examples.contexts, self.advertiser_ids)
        bought = seen(histories.weights(histories.whole()))
        held_out = self._held_out(examples.contexts.user_ids)
        spans, column = self._held_out_targets(histories, examples, np.flatnonzero(held_out))
        trials = []
        for option in self.options():
            model = self.learn(bought[np.flatnonzero(~held_out)], option) if len(column) else None
            scores = self._scores(histories, spans, model) if len(column) else np.zeros((0, len(self.advertiser_ids)))
            trials.append((option, calibrate(scores, column, self.popularity.shares)))
        self.option, self.calibration = min(trials, key=lambda t: t[1].log_loss) if len(column) else trials[0]
        self.model = self.learn(bought, self.option)
        learned = np.array([self.calibration.sharpness, self.calibration.floor, self.calibration.log_loss])
        shares = self.popularity.shares
        self.model_version = version(self.name, self.settings, self.advertiser_ids, shares, np.nan_to_num(learned))
        return self

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """Calibrated scores, or popularity where there is no history."""
        histories = read_histories(contexts, self.advertiser_ids)
        return self.probabilities_of(histories, histories.whole())

    def probabilities_of(self, histories: Histories, spans: np.ndarray) -> np.ndarray:
        """The same for any spans of histories, shape (n_spans, n_advertisers)."""
        popular = self.popularity.shares
        scores = self._scores(histories, spans, self.model)
        probabilities = to_probabilities(scores, popular, self.calibration.sharpness, self.calibration.floor)
        probabilities[spans[:, 1] == spans[:, 0]] = popular
        return probabilities

    def _scores(self, histories: Histories, spans: np.ndarray, model: Any) -> np.ndarray:
        weights = histories.weights(spans, self.settings.half_life_days)
        weights.sum_duplicates()
        weights.data = np.minimum(weights.data, 1.0)
        own = np.log1p(histories.weights(spans).toarray())
        return np.asarray(self.score(model, weights) + self.settings.own_bonus * own)

    def _held_out(self, user_ids: np.ndarray) -> np.ndarray:
        """Mask of held-out users: by hash, so that it depends on no other user and no seed."""
        return held_out_users(user_ids, self.settings.held_out_share)

    def _held_out_targets(
        self, histories: Histories, examples: TrainingExamples, held_out: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The last target with a history of each held-out user: its history's span and its column."""
        targets = examples.targets[examples.targets["user"].isin(held_out)].sort_values(["user", "position"])
        column = columns_of(targets["advertiser_id"], self.advertiser_ids)
        user = targets["user"].to_numpy()
        spans = histories.before(user, targets["position"].to_numpy())
        usable = np.flatnonzero((column >= 0) & (spans[:, 1] > spans[:, 0]))
        last = usable[~pd.Series(user[usable]).duplicated(keep="last").to_numpy()][: self.settings.held_out_users]
        return spans[last], column[last]


def seen(counts: Any) -> Any:
    """The CSR matrix of counts with every count set to 1."""
    binary = counts.copy()
    binary.sum_duplicates()
    binary.data[:] = 1.0
    return binary
