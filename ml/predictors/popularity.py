"""popularity: what everybody converts with lately, the same forecast for every user.

It knows no user at all, and stays as it was fitted: conversions after the fit do not move it. The
forecast is conditional on the advertiser being in the catalogue, as that of every source here.
"""

from __future__ import annotations

from datetime import date
from typing import Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ml.artifacts import fingerprint_of
from ml.contexts.stream import TrainingExamples, UserContexts
from ml.errors import BadInput
from ml.predictors.blocks import InBlocks
from ml.predictors.histories import Histories, days_since_1970, read_histories
from ml.timeline import end_of


class PopularitySettings(BaseModel):
    """How fast popularity forgets."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    half_life_days: float = Field(default=14.0, gt=0)
    """Days after which a conversion counts half; months for sparse purchase logs."""
    smoothing: float = Field(default=1.0, gt=0)
    """Conversions added to every advertiser: one that nobody converted with yet is unlikely, not impossible."""


class Popularity(InBlocks):
    """Share of recency-weighted, smoothed conversion counts."""

    name = "popularity"
    catalogue_ids: np.ndarray
    shares: np.ndarray
    """Shape (n_advertisers,), sums to 1."""
    model_version: str

    def __init__(self, settings: PopularitySettings | None = None) -> None:
        self.settings = settings or PopularitySettings()

    def fit(self, examples: TrainingExamples) -> Self:
        """Count the conversions in the streams."""
        self.catalogue_ids = catalogue_ids_of(examples.catalogue)
        histories = read_histories(examples.contexts, self.catalogue_ids)
        self.shares = recent_shares(histories, examples.contexts.as_of, self.settings)
        self.model_version = version(self.name, self.settings, self.catalogue_ids, self.shares)
        return self

    @property
    def advertiser_ids(self) -> np.ndarray:
        return self.catalogue_ids

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """The same distribution for every user, shape (n_users, n_advertisers)."""
        return np.broadcast_to(self.shares, (len(contexts), len(self.shares)))


def recent_shares(histories: Histories, as_of: date, settings: PopularitySettings) -> np.ndarray:
    """Shares of recency-weighted, smoothed conversion counts at the end of `as_of`, shape (n_advertisers,)."""
    weights = recency(histories.day, as_of, settings.half_life_days)
    counts = np.bincount(histories.column, weights, minlength=histories.n_advertisers) + settings.smoothing
    return np.asarray(counts / counts.sum())


def recency(day: np.ndarray, as_of: date, half_life_days: float) -> np.ndarray:
    """Weight of a conversion known on `day` (days since 1970): 1 at the end of `as_of`, half a half-life before."""
    now = days_since_1970(pd.Series([pd.Timestamp(end_of(as_of))]))[0]
    return np.asarray(np.exp2((day - now) / half_life_days))


def catalogue_ids_of(catalogue: pd.DataFrame) -> np.ndarray:
    """Advertiser ids in column order.

    Raises:
        BadInput: the catalogue is empty.
    """
    if catalogue.empty:
        raise BadInput(
            "no advertiser is eligible", where="catalogue", remedy="lower min_users, or check active_from and active_to"
        )
    return np.asarray(catalogue["advertiser_id"].to_numpy())


def version(name: str, settings: BaseModel, catalogue_ids: np.ndarray, *learned: np.ndarray) -> str:
    """Version of a fitted source: changes when its settings, its catalogue or what it learned change."""
    parts = [settings.model_dump(), catalogue_ids.tolist(), *(np.round(array, 9).tolist() for array in learned)]
    return f"{name}-{fingerprint_of(parts)}"
