"""Can forecasts be taken at their word? Calibration of the first prediction, and log loss of the target.

    ece        root of the debiased squared calibration error of the first prediction's probability, in equal-mass bins:
               sum_b w_b [(mean p - mean hit)^2 - mean hit (1 - mean hit) / (n_b - 1)]  (Kumar, Liang & Ma 2019). The
               plain error of a perfectly calibrated forecaster is above 0 by chance; this one is not, on average.
    slope      of a logistic regression of the hit on logit(p) (Cox 1958): 1 is right, below 1 is overconfident
    log_loss   mean of -log P(target); a target outside the catalogue is left out, as nothing could be said of it

It knows neither who made the probabilities nor how they were calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.evaluation.bootstrap import EvaluationSettings, Resamples, divide, evaluate
from ml.evaluation.results import Evaluation

METRICS = ("ece", "slope", "log_loss")
BINS = 15
LEAST = 1e-12
"""Probabilities are kept this far from 0 and 1, so that logarithms exist."""


@dataclass(frozen=True)
class Forecasts:
    """What is judged of one source, for each user with a target.

    Attributes:
        top: probability of the first prediction, shape (n,).
        hit: it is the target, shape (n,), bool.
        target: probability of the target, nan where it is outside the catalogue, shape (n,).
    """

    top: np.ndarray
    hit: np.ndarray
    target: np.ndarray

    @classmethod
    def of_matrix(cls, probabilities: np.ndarray, column: np.ndarray) -> Forecasts:
        """From whole distributions (n, n_advertisers) and the targets' catalogue rows (-1: outside it)."""
        rows, first = np.arange(len(column)), probabilities.argmax(axis=1)
        target = np.where(column >= 0, probabilities[rows, np.maximum(column, 0)], np.nan)
        return cls(probabilities[rows, first], first == column, target)

    @classmethod
    def of_table(cls, predictions: pd.DataFrame, labels: pd.DataFrame, catalogue_ids: np.ndarray) -> Forecasts:
        """From the first predictions of each user (`ml.predictors.predictions`).

        What their probabilities leave over is spread evenly over the rest of the catalogue.
        """
        mine = predictions[predictions["user_id"].isin(labels["user_id"])]
        by_user = mine.groupby("user_id")["probability"].agg(["sum", "size"]).reindex(labels["user_id"])
        rest = (1 - by_user["sum"]).clip(lower=0) / (len(catalogue_ids) - by_user["size"]).clip(lower=1)
        keys = ["user_id", "advertiser_id"]
        found = labels[keys].merge(mine[[*keys, "probability"]], on=keys, how="left")["probability"].to_numpy()
        target = np.where(np.isnan(found), rest.to_numpy(), found)
        first = mine[mine["rank"] == 1].set_index("user_id").reindex(labels["user_id"])
        inside = np.isin(labels["advertiser_id"].to_numpy(), catalogue_ids)
        return cls(
            first["probability"].to_numpy(dtype=float),
            first["advertiser_id"].to_numpy() == labels["advertiser_id"].to_numpy(),
            np.where(inside, target, np.nan),
        )


def calibration(
    forecasts: Mapping[str, Forecasts],
    *,
    rng: np.random.Generator,
    settings: EvaluationSettings | None = None,
    pairs: Sequence[tuple[str, str]] = (),
) -> Evaluation:
    """METRICS of every source on the same users, with intervals; ECE's draws are centred on its value."""
    names = list(forecasts)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.stack([_metrics(forecasts[name], weights) for name in names], axis=1)

    n = len(next(iter(forecasts.values())).top)
    resamples = Resamples(n, (settings or EvaluationSettings()).ranking_resamples, rng)
    return evaluate(
        resamples, statistic, arms=names, metrics=METRICS, pairs=pairs, row_width=20 * n, recentred=("ece",)
    )


def _metrics(forecasts: Forecasts, weights: np.ndarray) -> np.ndarray:
    """METRICS for each row of weights, shape (b, len(METRICS))."""
    known = np.isfinite(forecasts.target)
    loss = -np.log(np.maximum(np.where(known, forecasts.target, 1.0), LEAST))
    log_loss = divide(weights @ loss, weights @ known.astype(float))
    ece = np.sqrt(np.maximum(squared_error(forecasts.top, forecasts.hit, weights), 0))
    return np.stack([ece, slope(forecasts.top, forecasts.hit, weights)[:, 0], log_loss], axis=1)


def squared_error(top: np.ndarray, hit: np.ndarray, weights: np.ndarray, *, debiased: bool = True) -> np.ndarray:
    """Squared calibration error in BINS equal-mass bins for each row of weights, shape (b,); may be below 0.

    Args:
        top, hit: shape (n,).
        weights: shape (b, n): how often each user counts.
        debiased: subtract what chance alone contributes.
    """
    order = np.argsort(top, kind="stable")
    error, total = np.zeros(len(weights)), weights.sum(axis=1)
    for rows in np.array_split(order, min(BINS, len(order))):
        mine = weights[:, rows]
        n = mine.sum(axis=1)
        forecast, seen = divide(mine @ top[rows], n), divide(mine @ hit[rows].astype(float), n)
        gap = (forecast - seen) ** 2
        if debiased:
            gap = gap - seen * (1 - seen) / np.maximum(n - 1, 1)
        error += np.where(n > 0, gap, 0) * n / total
    return error


def slope(top: np.ndarray, hit: np.ndarray, weights: np.ndarray, *, rounds: int = 30) -> np.ndarray:
    """Slope and intercept of hit ~ logit(top) for each row of weights, shape (b, 2), by Newton's method.

    nan where the regression has no finite solution (no hit, or nothing but hits, or one value of `top`).
    """
    p = np.clip(top, LEAST, 1 - LEAST)
    x, y = np.log(p / (1 - p)), hit.astype(float)
    found = np.tile([1.0, 0.0], (len(weights), 1))
    for _ in range(rounds):
        q = 1 / (1 + np.exp(-np.clip(found[:, :1] * x + found[:, 1:], -50, 50)))
        r, w = weights * (y - q), weights * q * (1 - q)
        gx, g1 = r @ x, r.sum(axis=1)
        hxx, hx, h1 = w @ x**2, w @ x, w.sum(axis=1)
        determinant = hxx * h1 - hx**2
        step = np.stack([divide(h1 * gx - hx * g1, determinant), divide(hxx * g1 - hx * gx, determinant)], axis=1)
        found = found + np.clip(step, -2, 2)
        if np.nanmax(np.abs(step), initial=0) < 1e-8:
            break
    one_sided = (weights @ y == 0) | (weights @ (1 - y) == 0)
    bad = one_sided | ~np.isfinite(found).all(axis=1) | (np.abs(found) > 40).any(axis=1)
    return np.where(bad[:, None], np.nan, found)
