"""cooccurrence: users who convert with these advertisers also convert with those (EASE).

EASE is the linear item-to-item model of Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW
2019), in closed form. To its score a small bonus for the user's own repeated conversions is added. Scores
become probabilities by a softmax over their logarithm:

    p(a | user)  ~  (max(score_a, 0) + floor * popularity_a * n_advertisers) ** sharpness

`sharpness` (an inverse temperature), `floor` and the regularisation are those with the least log loss on
held-out users: EASE is fitted on the other users, and the last target of each held-out one is read from the
history before it. The logarithm matters: EASE scores behave like probabilities, and a softmax of the bare
score spreads too much over the many advertisers that score nothing (log loss worse than popularity's).

It knows neither time nor text. A user without conversions gets popularity; that is part of the definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.blocks import InBlocks
from ml.predictors.histories import Histories, columns_of, read_histories
from ml.predictors.popularity import Popularity, PopularitySettings, version


class CooccurrenceSettings(BaseModel):
    """What EASE is fitted with, and what chooses its regularisation."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    regularisations: tuple[float, ...] = Field(default=(10.0, 100.0, 500.0), min_length=1)
    """Values of lambda to choose from on held-out users; a single one is taken as given. Larger for more users."""
    own_bonus: float = Field(default=0.1, ge=0)
    """Weight of log(1 + own conversions with the advertiser) beside the EASE score."""
    held_out_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of users (by hash of their id) that choose lambda and the calibration; EASE is refitted on all."""
    held_out_users: int = Field(default=1000, ge=1)
    """Most held-out users that are read."""
    popularity: PopularitySettings = Field(default_factory=PopularitySettings)
    """The fallback for users without conversions, and the floor under the scores of the others."""


@dataclass(frozen=True)
class Calibration:
    """How scores become probabilities, and the mean log loss on held-out targets (nan without any)."""

    sharpness: float
    floor: float
    log_loss: float
    targets: int


class Cooccurrence(InBlocks):
    """EASE on the user x advertiser matrix."""

    name = "cooccurrence"
    popularity: Popularity
    item_weights: np.ndarray
    """Shape (n_advertisers, n_advertisers): row j, column a: what a past conversion with j says for a."""
    regularisation: float
    calibration: Calibration
    model_version: str

    def __init__(self, settings: CooccurrenceSettings | None = None) -> None:
        self.settings = settings or CooccurrenceSettings()

    def fit(self, examples: TrainingExamples) -> Self:
        """Choose lambda and calibration on held-out users, then fit EASE on all.

        Without a single held-out target (nobody converts twice) there is nothing to calibrate on: the scores
        are then taken as they are (sharpness 1), with the strongest regularisation.
        """
        self.popularity = Popularity(self.settings.popularity).fit(examples)
        histories = read_histories(examples.contexts, self.popularity.catalogue_ids)
        bought = seen(histories.weights(histories.whole()))
        held_out = np.flatnonzero(self._held_out(examples.contexts.user_ids))
        spans, column = self._held_out_targets(histories, examples, held_out)
        everybody = gram_of(bought)
        others = everybody - gram_of(bought[held_out])
        trials = []
        for regularisation in sorted(self.settings.regularisations, reverse=True):
            scores = self._scores(histories, spans, ease(others, regularisation))
            found = calibrate(scores, column, self.popularity.shares)
            trials.append((found.log_loss, regularisation, found))
        _, self.regularisation, self.calibration = min(trials, key=lambda trial: trial[0]) if len(column) else trials[0]
        self.item_weights = ease(everybody, self.regularisation)
        ids = self.popularity.catalogue_ids
        learned = np.array([self.calibration.sharpness, self.calibration.floor, self.regularisation])
        self.model_version = version(self.name, self.settings, ids, self.popularity.shares, learned)
        return self

    @property
    def advertiser_ids(self) -> np.ndarray:
        return self.popularity.catalogue_ids

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """Calibrated scores, or popularity where there is no history."""
        histories = read_histories(contexts, self.popularity.catalogue_ids)
        return self._probabilities(histories, histories.whole())

    def _probabilities(self, histories: Histories, spans: np.ndarray) -> np.ndarray:
        popular = self.popularity.shares
        scores = self._scores(histories, spans, self.item_weights)
        probabilities = to_probabilities(scores, popular, self.calibration.sharpness, self.calibration.floor)
        probabilities[spans[:, 1] == spans[:, 0]] = popular
        return probabilities

    def _scores(self, histories: Histories, spans: np.ndarray, item_weights: np.ndarray) -> np.ndarray:
        counts = histories.weights(spans)
        scores = np.asarray(seen(counts) @ item_weights)
        return np.asarray(scores + self.settings.own_bonus * np.log1p(counts.toarray()))

    def _held_out(self, user_ids: np.ndarray) -> np.ndarray:
        """Mask of held-out users: by hash, so that it depends on no other user and no seed."""
        hashes = pd.util.hash_array(np.asarray(user_ids, dtype=object))
        return np.asarray(hashes % 10_000 < self.settings.held_out_share * 10_000)

    def _held_out_targets(
        self, histories: Histories, examples: TrainingExamples, held_out: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The last target with a history of each held-out user: its history's span and its column."""
        targets = examples.targets[examples.targets["user"].isin(held_out)].sort_values(["user", "position"])
        column = columns_of(targets["advertiser_id"], self.popularity.catalogue_ids)
        user = targets["user"].to_numpy()
        spans = histories.before(user, targets["position"].to_numpy())
        usable = np.flatnonzero((column >= 0) & (spans[:, 1] > spans[:, 0]))
        last = usable[~pd.Series(user[usable]).duplicated(keep="last").to_numpy()][: self.settings.held_out_users]
        return spans[last], column[last]


def ease(gram: np.ndarray, regularisation: float) -> np.ndarray:
    """Item weights of EASE: argmin_B |X - X B|^2 + lambda |B|^2 with a zero diagonal (Steck 2019, eq. 8).

    Args:
        gram: X'X, shape (n, n).
        regularisation: lambda > 0.
    """
    inverse = np.linalg.inv(gram + regularisation * np.eye(len(gram)))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights)


def seen(counts: Any) -> Any:
    """The CSR matrix of counts with every count set to 1."""
    binary = counts.copy()
    binary.sum_duplicates()
    binary.data[:] = 1.0
    return binary


def gram_of(bought: Any) -> np.ndarray:
    """X'X of a CSR matrix, dense: how many users converted with both advertisers."""
    return np.asarray((bought.T @ bought).toarray())


def to_probabilities(scores: np.ndarray, popular: np.ndarray, sharpness: float, floor: float) -> np.ndarray:
    """Softmax of `sharpness * log(max(score, 0) + floor * popularity * n)`, shape as `scores`."""
    logits = sharpness * np.log(np.maximum(scores, 0.0) + floor * len(popular) * popular)
    logits -= logits.max(axis=1, keepdims=True)
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def calibrate(scores: np.ndarray, column: np.ndarray, popular: np.ndarray) -> Calibration:
    """Sharpness and floor of the least mean log loss on targets (Nelder-Mead on their logarithms).

    Args:
        scores: shape (n_targets, n_advertisers).
        column: shape (n_targets,): the advertiser converted with.
        popular: shape (n_advertisers,).
    """
    from scipy.optimize import minimize

    if len(column) == 0:
        return Calibration(sharpness=1.0, floor=1e-3, log_loss=float("nan"), targets=0)
    rows = np.arange(len(column))

    def log_loss(logs: np.ndarray) -> float:
        probabilities = to_probabilities(scores, popular, *np.exp(np.clip(logs, -12, 3)))
        return float(-np.log(np.maximum(probabilities[rows, column], 1e-300)).mean())

    found = minimize(log_loss, [0.0, np.log(1e-3)], method="Nelder-Mead", options={"maxiter": 40, "xatol": 0.02})
    sharpness, floor = np.exp(np.clip(found.x, -12, 3))
    return Calibration(float(sharpness), float(floor), float(found.fun), len(column))
