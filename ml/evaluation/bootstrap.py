"""The one function behind every interval: a paired cluster bootstrap over users.

Users are drawn with replacement; a draw is a vector of weights (how often each user was drawn), so a metric
is a function of weights and a user's rows always come and go together. Draw i has the same weights for
every arm and metric, so a difference of two arms is paired. Nothing here knows what is being measured.

    resamples = Resamples(n_users=5000, n_resamples=1000, rng=rng)
    resamples.interval(ratio_of_sums(hits, labels))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml.errors import BadInput
from ml.evaluation.results import Difference, Evaluation, Interval

Statistic = Callable[[np.ndarray], np.ndarray]
"""Weights of shape (b, n_users) -> values of shape (b, ...), each row by itself."""

CELLS_AT_ONCE = 1_000_000
"""Floats of one block of weights (8 MB): bounds memory, changes no result."""
QUANTILES = (0.025, 0.975)
DETECTABLE = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.80)
"""Standard errors a true effect must have to be found with two-sided 5 % level and 80 % power: 2.80."""


class EvaluationSettings(BaseModel):
    """How finely uncertainty is measured."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    resamples: int = Field(default=1000, ge=100)
    """Draws of users for recall and retrieval."""
    ranking_resamples: int = Field(default=300, ge=100)
    """Draws of users for the ranker's metrics, which sort through every impression each time."""
    calibration_bins: int = Field(default=10, ge=2)
    """Equal-mass bins of the expected calibration error."""
    importance_rows: int = Field(default=30_000, ge=1_000)
    """Most test rows on which the ranker's features are shuffled; above it, whole users are left out at random."""
    importance_repeats: int = Field(default=3, ge=1)
    """Times each feature, and each group of them, is shuffled."""


@dataclass(frozen=True)
class Replicates:
    """A statistic on the sample (shape (...)) and on each draw (shape (n_resamples, ...))."""

    value: np.ndarray
    draws: np.ndarray


class Resamples:
    """Draws of users, the same for every statistic asked of it.

    Weights are made again, block by block, for each statistic, from one seed per draw: memory does not
    grow with the number of draws, and the size of a block changes nothing.

    Args:
        n_users: users to draw from, and users in a draw.
        n_resamples: draws.
        rng: gives the seed; one number is taken from it.
    """

    def __init__(self, n_users: int, n_resamples: int, rng: np.random.Generator) -> None:
        if n_users < 1:
            raise BadInput("no user to evaluate", where="labels", remedy="check that label windows have closed")
        self.n_users, self.n_resamples = n_users, n_resamples
        self._seed = int(rng.integers(2**63))

    def weights(self, first: int, end: int) -> np.ndarray:
        """Weights of draws first..end - 1: shape (end - first, n_users), each row sums to n_users."""
        weights = np.empty((end - first, self.n_users))
        for row, draw in enumerate(range(first, end)):
            chosen = np.random.default_rng([self._seed, draw]).integers(self.n_users, size=self.n_users)
            weights[row] = np.bincount(chosen, minlength=self.n_users)
        return weights

    def replicate(self, statistic: Statistic, *, row_width: int = 0) -> Replicates:
        """The statistic on the sample and on every draw.

        Args:
            statistic: see `Statistic`.
            row_width: cells the statistic spreads one draw over, if more than n_users (say, impressions).
        """
        size = max(1, CELLS_AT_ONCE // max(self.n_users, row_width))
        blocks = [
            statistic(self.weights(first, min(first + size, self.n_resamples)))
            for first in range(0, self.n_resamples, size)
        ]
        return Replicates(statistic(np.ones((1, self.n_users)))[0], np.concatenate(blocks))

    def interval(self, statistic: Statistic) -> Interval:
        """95 % percentile interval of a statistic with one value a draw."""
        found = self.replicate(statistic)
        return interval_of(float(found.value), found.draws)

    def difference(self, metric: str, arms: tuple[str, str], statistics: tuple[Statistic, Statistic]) -> Difference:
        """First minus second statistic on the same draws."""
        one, two = (self.replicate(statistic) for statistic in statistics)
        return difference_of(metric, arms, float(one.value - two.value), one.draws - two.draws)


def ratio_of_sums(numerators: np.ndarray, denominators: np.ndarray) -> Statistic:
    """Statistic sum(w * numerator) / sum(w * denominator) over users; nan where the denominator is 0.

    With denominator 1 it is a mean over users. Both arrays have shape (n_users, ...) and broadcast.
    """

    def statistic(weights: np.ndarray) -> np.ndarray:
        above = np.tensordot(weights, np.asarray(numerators, dtype=float), axes=1)
        below = np.tensordot(weights, np.asarray(denominators, dtype=float), axes=1)
        return divide(above, below)

    return statistic


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, nan where below is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, dtype=float), np.asarray(below, dtype=float))
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0))


def interval_of(value: float, draws: np.ndarray) -> Interval:
    """Percentile interval; draws in which the statistic does not exist are left out."""
    known = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not len(known):
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(known, QUANTILES)
    return Interval(value, float(low), float(high))


def difference_of(metric: str, arms: tuple[str, str], value: float, draws: np.ndarray) -> Difference:
    """Interval, standard error and minimum detectable effect of a paired difference."""
    interval = interval_of(value, draws)
    known = draws[np.isfinite(draws)]
    error = float(known.std(ddof=1)) if np.isfinite(interval.value) and len(known) > 1 else float("nan")
    return Difference(
        metric,
        *arms,
        interval.value,
        interval.low,
        interval.high,
        standard_error=error,
        minimum_effect=DETECTABLE * error,
    )


def evaluate(
    resamples: Resamples,
    statistic: Statistic,
    *,
    arms: Sequence[str],
    metrics: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    row_width: int = 0,
    recentred: Sequence[str] = (),
) -> Evaluation:
    """All metrics of all arms in one pass over the draws.

    Args:
        resamples: the draws.
        statistic: weights (b, n_users) -> (b, len(arms), len(metrics)).
        arms: names along axis 1.
        metrics: names along axis 2.
        pairs: (arm, against) for which differences are wanted, in every metric.
        row_width: see `Resamples.replicate`.
        recentred: metrics whose draws are shifted to have the sample's value as their mean. For a metric
            that noise pushes one way (ECE: each draw adds noise to that of the sample) plain percentiles
            need not even contain the value.
    """
    found = resamples.replicate(statistic, row_width=row_width)
    draws = found.draws.copy()
    for name in recentred:
        column = list(metrics).index(name)
        shift = found.value[:, column] - draws[:, :, column].mean(axis=0)
        draws[:, :, column] = np.maximum(draws[:, :, column] + shift, 0.0)
    place = {arm: i for i, arm in enumerate(arms)}
    intervals = {
        arm: {
            metric: interval_of(float(found.value[place[arm], m]), draws[:, place[arm], m])
            for m, metric in enumerate(metrics)
        }
        for arm in arms
    }
    differences = [
        difference_of(
            metric,
            (arm, against),
            float(found.value[place[arm], m] - found.value[place[against], m]),
            draws[:, place[arm], m] - draws[:, place[against], m],
        )
        for arm, against in pairs
        for m, metric in enumerate(metrics)
    ]
    return Evaluation(resamples.n_users, intervals, differences)
