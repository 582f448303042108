"""repeat_last: people come back. A user's own past advertisers, the recent ones first, popularity behind.

    p(a | user) = m * own(a) + (1 - m) * popularity(a)

`own` is the user's share of past conversions by advertiser with exponential decay in time; `m`, one for
each length of history, is estimated: it maximises the likelihood of the training targets, each read
from the history before it (expectation-maximisation of a two-part mixture). A user without
conversions gets popularity. It knows nothing of searches, visits or what similar users do.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.blocks import InBlocks
from ml.predictors.histories import Histories, columns_of, days_since_1970, read_histories
from ml.predictors.popularity import (
    Popularity,
    PopularitySettings,
    catalogue_ids_of,
    recency,
    version,
)

LENGTHS = 6
"""Classes of history length: 1, 2, 3-4, 5-8, 9-16, more."""
PRIOR_TARGETS = 5.0
"""How many targets the weight of the next shorter class counts for."""


class RepeatLastSettings(BaseModel):
    """How fast a user's own past fades."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    half_life_days: float = Field(default=14.0, gt=0)
    """Days between two conversions of a user for the older one to weigh half; a year for sparse purchase logs."""
    history_limit: int = Field(default=200, ge=1)
    """Newest conversions of a user that are read."""
    popularity: PopularitySettings = Field(default_factory=PopularitySettings)
    """The back-off."""


class RepeatLast(InBlocks):
    """Own past with decay, mixed with popularity by weights learned from the targets."""

    name = "repeat_last"
    popularity: Popularity
    own_weight: np.ndarray
    """Shape (LENGTHS,): m for each class of history length."""
    model_version: str

    def __init__(self, settings: RepeatLastSettings | None = None) -> None:
        self.settings = settings or RepeatLastSettings()

    def fit(self, examples: TrainingExamples) -> Self:
        """Fit popularity, then the mixing weights on the targets that have a history before them."""
        self.popularity = Popularity(self.settings.popularity).fit(examples)
        ids = catalogue_ids_of(examples.catalogue)
        histories = read_histories(examples.contexts, ids)
        column = columns_of(examples.targets["advertiser_id"], ids)
        spans = histories.before(examples.targets["user"].to_numpy(), examples.targets["position"].to_numpy())
        usable = (column >= 0) & (spans[:, 1] > spans[:, 0])
        column, spans = column[usable], self._limited(spans[usable])
        own = np.asarray(self._own(histories, spans)[np.arange(len(column)), column]).ravel()
        popular = self._popularity_without(histories, examples, column, examples.targets["known_at"][usable])
        self.own_weight = mixing_weights(own, popular, length_class(spans))
        self.model_version = version(self.name, self.settings, ids, self.popularity.shares, self.own_weight)
        return self

    @property
    def advertiser_ids(self) -> np.ndarray:
        return self.popularity.catalogue_ids

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """Mixture of each user's own shares and popularity."""
        histories = read_histories(contexts, self.popularity.catalogue_ids)
        return self._mixture(histories, self._limited(histories.whole()))

    def _mixture(self, histories: Histories, spans: np.ndarray) -> np.ndarray:
        own_weight = np.where(spans[:, 1] > spans[:, 0], self.own_weight[length_class(spans)], 0.0)[:, None]
        own = self._own(histories, spans).toarray()
        return np.asarray(own * own_weight + self.popularity.shares * (1 - own_weight))

    def _limited(self, spans: np.ndarray) -> np.ndarray:
        return np.column_stack([np.maximum(spans[:, 0], spans[:, 1] - self.settings.history_limit), spans[:, 1]])

    def _own(self, histories: Histories, spans: np.ndarray) -> Any:
        """Each span's share of decayed conversions by advertiser (scipy CSR); a row sums to 1, or 0 without history."""
        weights = histories.weights(spans, self.settings.half_life_days)
        total = np.asarray(weights.sum(axis=1)).ravel()
        weights.data /= np.repeat(total, np.diff(weights.indptr))
        return weights

    def _popularity_without(
        self, histories: Histories, examples: TrainingExamples, column: np.ndarray, known_at: pd.Series
    ) -> np.ndarray:
        """Popularity of each target's advertiser less the target itself: it must not vouch for itself."""
        settings, as_of = self.settings.popularity, examples.contexts.as_of
        weight = recency(histories.day, as_of, settings.half_life_days)
        total = np.bincount(histories.column, weight, minlength=histories.n_advertisers)
        own = np.minimum(recency(days_since_1970(known_at), as_of, settings.half_life_days), total[column])
        everything = total.sum() + settings.smoothing * histories.n_advertisers
        return np.asarray((total[column] - own + settings.smoothing) / (everything - own))


def length_class(spans: np.ndarray) -> np.ndarray:
    """Class of a history's length: 1, 2, 3-4, 5-8, 9-16, more (an empty one falls in with 1)."""
    length = np.maximum(spans[:, 1] - spans[:, 0], 1)
    return np.asarray(np.minimum(np.ceil(np.log2(length)).astype(np.int64), LENGTHS - 1))


def mixing_weights(own: np.ndarray, popular: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Weight m of `own` for each length class: the one that maximises sum log(m * own + (1 - m) * popular).

    Each class leans on the next shorter one as if PRIOR_TARGETS targets had shown its weight, so a class
    without targets (the longest histories have none after them) takes it over; the first leans on 1/2.

    Args:
        own, popular: shape (n,): probability either part gave the target.
        group: shape (n,): length class of each target's history, in 0..LENGTHS - 1.

    Returns:
        Shape (LENGTHS,), each strictly between 0 and 1.
    """
    weights, before = [], 0.5
    for number in range(LENGTHS):
        mine = group == number
        before = mixing_weight(own[mine], popular[mine], before)
        weights.append(before)
    return np.array(weights)


def mixing_weight(own: np.ndarray, popular: np.ndarray, prior: float, *, rounds: int = 500) -> float:
    """One weight by expectation-maximisation from `prior`; stops when it moves by less than 1e-6."""
    weight = prior
    for _ in range(rounds):
        share = weight * own / (weight * own + (1 - weight) * popular)
        new = float((share.sum() + PRIOR_TARGETS * prior) / (len(own) + PRIOR_TARGETS))
        moved, weight = abs(new - weight), new
        if moved < 1e-6:
            break
    return weight
