"""Correction of a distribution for what everybody has converted with lately (prior shift, Saerens et al. 2002).

    p'(a | u)  ~  p(a | u) ** (1 / T) * (recent share of a / overall share of a) ** strength

A source learns from years (or weeks) in which an advertiser was as frequent as it was on average; its training ends
with how frequent it is now. Half-life, strength and temperature are those of the least log loss on the validation
fold; the shares are those of the streams at hand, so that the same three numbers serve any later day. A source that
already follows what is in fashion gets a strength near 0.

It gives no intervals and sees no test window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from ml.artifacts import fingerprint_of
from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.base import AdvertiserPredictor
from ml.predictors.blocks import InBlocks
from ml.predictors.calibration import SMALLEST
from ml.predictors.histories import read_histories
from ml.predictors.pooling import likeliest_weights, softmax
from ml.predictors.popularity import PopularitySettings, recent_shares

HALF_LIVES = (3.5, 7.0, 14.0, 28.0, 56.0, 112.0)
"""Days, of what counts as lately."""
FOREVER = 1e6

Shifts = Mapping[float, np.ndarray]
"""By half-life, see `log_shifts`."""


@dataclass(frozen=True)
class PriorShift:
    """A fitted correction.

    Attributes:
        half_life_days: after which a conversion counts half among the recent ones.
        strength: 0 changes nothing, 1 replaces the overall share by the recent one.
        sharpness: 1 / T.
    """

    half_life_days: float
    strength: float
    sharpness: float

    def of_day(self, contexts: UserContexts, advertiser_ids: np.ndarray) -> np.ndarray:
        """What is added to every user's log probabilities on a day, shape (n_advertisers,).

        Args:
            contexts: everybody's streams of the day.
            advertiser_ids: shape (n_advertisers,).
        """
        return self.strength * log_shifts(contexts, advertiser_ids)[self.half_life_days]

    def apply(self, probabilities: np.ndarray, shifts: Shifts) -> np.ndarray:
        """Float64, shape as `probabilities`, (n_users, n_advertisers); rows sum to 1.

        Args:
            probabilities: rows sum to 1.
            shifts: of the day, see `log_shifts`.
        """
        logs = np.log(np.maximum(probabilities, SMALLEST))
        return softmax(self.sharpness * logs + self.strength * shifts[self.half_life_days])


UNCHANGED = PriorShift(HALF_LIVES[0], strength=0.0, sharpness=1.0)
"""Where nothing tells how to correct."""


class Shifted(InBlocks):
    """A fitted source, corrected; its name stays.

    Args:
        source: what is corrected.
        correction: fitted on the validation fold.
        shifts: of the day, over the source's advertisers.
    """

    def __init__(self, source: AdvertiserPredictor, correction: PriorShift, shifts: Shifts) -> None:
        self.source, self.correction, self.shifts = source, correction, shifts
        self.name = source.name
        said = [shifts[correction.half_life_days].round(9).tolist(), asdict(correction)]
        self.model_version = f"{source.model_version}-{fingerprint_of(said)}"

    @property
    def advertiser_ids(self) -> np.ndarray:
        return self.source.advertiser_ids

    def fit(self, examples: TrainingExamples) -> Self:
        """The source anew; the correction stays."""
        self.source.fit(examples)
        return self

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """The source's, corrected; shape (n_users, n_advertisers)."""
        return self.correction.apply(self.source.probabilities(contexts), self.shifts)


def log_shifts(contexts: UserContexts, advertiser_ids: np.ndarray) -> Shifts:
    """log(recent share / overall share) of every advertiser by half-life, each of shape (n_advertisers,).

    Args:
        contexts: streams of the day that is forecast from.
        advertiser_ids: shape (n_advertisers,).
    """
    histories = read_histories(contexts, advertiser_ids)

    def shares(half_life: float) -> np.ndarray:
        return recent_shares(histories, contexts.as_of, PopularitySettings(half_life_days=half_life))

    overall = shares(FOREVER)
    return {half_life: np.log(shares(half_life) / overall) for half_life in HALF_LIVES}


def fit_prior_shift(probabilities: np.ndarray, column: np.ndarray, shifts: Shifts) -> PriorShift:
    """The correction of the least log loss; without any label in the catalogue it changes nothing.

    Args:
        probabilities: shape (n_labels, n_advertisers), rows sum to 1.
        column: shape (n_labels,): catalogue row of each label, -1 outside it.
        shifts: of the fold, see `log_shifts`.
    """
    inside = np.flatnonzero(column >= 0)
    best, least = UNCHANGED, np.inf
    logs = np.log(np.maximum(probabilities[inside], SMALLEST))
    for half_life, shift in shifts.items() if len(inside) else ():
        sharpness, strength = likeliest_weights([logs, np.broadcast_to(shift, logs.shape)], column[inside])
        found = PriorShift(half_life, float(strength), float(sharpness))
        said = found.apply(probabilities[inside], shifts)[np.arange(len(inside)), column[inside]]
        loss = float(-np.log(said).mean())
        if loss < least:
            best, least = found, loss
    return best
