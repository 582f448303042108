"""Can forecasts be taken at their word? Calibration of the first prediction and of the first ten; log loss.

    top1_ece         root of the debiased squared calibration error of the first prediction's probability
    top10_ece        the same of the probability that the first ten have together, against the target being among them:
                     is the rest of the distribution as honest as its top?
    top1_slope       of a logistic regression of the hit on logit(p) (Cox 1958): 1 is right, below 1 is overconfident
    top1_intercept   of the same regression: 0 is right
    target_log_loss  mean of -log P(target) over targets in the catalogue: outside it every source says 0, and a loss
                     that is infinite for all tells none from the other

A target outside the catalogue is a miss everywhere else: the probability of a prediction is that of the advertiser
coming next, whoever else might come. The squared error, in BINS bins b with equal numbers n_b of users, is

    sum_b n_b / n [ (mean r)^2 - var(r) / n_b ],    r = hit - p,    var(r) with n_b - 1 below

which is the debiased L2 estimator of Kumar, Liang & Ma (2019), "Verified uncertainty calibration", for forecasts that
need not be equal within a bin; where they are, var(r) / n_b is their mean hit (1 - mean hit) / (n_b - 1). The plain
error of an honest forecaster is above 0 by chance; this one is 0 on average. It may fall below 0, its root is then 0.

It knows neither who made the probabilities nor how they were calibrated (`ml.predictors.calibration`).

    found = calibration({"llm": Forecasts.of_matrix(probabilities, column), ...}, rng=rng)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings, Resamples, divide, evaluate
from ml.evaluation.results import Evaluation

METRICS = ("top1_ece", "top10_ece", "top1_slope", "top1_intercept", "target_log_loss")
BINS = 15
FIRST = 10
LEAST = 1e-12
"""Probabilities are kept this far from 0 and 1, so that logarithms exist."""


@dataclass(frozen=True)
class Forecasts:
    """What is judged of one source, for each user with a target.

    Attributes:
        top: probability of the first prediction, shape (n,).
        hit: it is the target, shape (n,), bool.
        target: probability of the target, nan where it is outside the catalogue, shape (n,).
        first: probability of the FIRST likeliest together, shape (n,).
        among: the target is one of these, shape (n,), bool.
    """

    top: np.ndarray
    hit: np.ndarray
    target: np.ndarray
    first: np.ndarray
    among: np.ndarray

    @classmethod
    def of_matrix(cls, probabilities: np.ndarray, column: np.ndarray) -> Forecasts:
        """From whole distributions (n, n_advertisers) and the targets' catalogue rows (-1: outside it)."""
        likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :FIRST]
        own = np.take_along_axis(probabilities, likeliest, axis=1)
        target = np.where(column >= 0, probabilities[np.arange(len(column)), np.maximum(column, 0)], np.nan)
        found = likeliest == column[:, None]
        return cls(own[:, 0], found[:, 0], target, np.minimum(own.sum(axis=1), 1.0), found.any(axis=1))

    @classmethod
    def of_table(cls, predictions: pd.DataFrame, labels: pd.DataFrame, catalogue_ids: np.ndarray) -> Forecasts:
        """From the first predictions of each user (`ml.predictors.predictions`), FIRST or more of them.

        What their probabilities leave over is spread evenly over the rest of the catalogue: an approximation that
        only target_log_loss feels, for targets after the last rank.

        Raises:
            BadInput: a labelled user without predictions, of whom nothing was said.
        """
        mine = predictions[predictions["user_id"].isin(labels["user_id"])]
        users, targets = labels["user_id"], labels["advertiser_id"].to_numpy()
        by_user = mine.groupby("user_id")["probability"].agg(["sum", "size"]).reindex(users)
        if lost := int(by_user["size"].isna().sum()):
            raise BadInput(
                f"{lost} labelled users without predictions", where="calibration", remedy="drop their labels"
            )
        rest = (1 - by_user["sum"]).clip(lower=0) / (len(catalogue_ids) - by_user["size"]).clip(lower=1)
        keys = ["user_id", "advertiser_id"]
        found = labels[keys].merge(mine[[*keys, "rank", "probability"]], on=keys, how="left")
        target = found["probability"].fillna(pd.Series(rest.to_numpy())).to_numpy(dtype=float)
        head = mine[mine["rank"] <= FIRST]
        return cls(
            head[head["rank"] == 1].set_index("user_id")["probability"].reindex(users).to_numpy(dtype=float),
            (found["rank"] == 1).to_numpy(),
            np.where(np.isin(targets, catalogue_ids), target, np.nan),
            head.groupby("user_id")["probability"].sum().clip(upper=1.0).reindex(users).to_numpy(dtype=float),
            (found["rank"] <= FIRST).to_numpy(),
        )


def calibration(
    forecasts: Mapping[str, Forecasts],
    *,
    rng: np.random.Generator,
    settings: EvaluationSettings | None = None,
    pairs: Sequence[tuple[str, str]] = (),
) -> Evaluation:
    """METRICS of every source on the same users, with intervals; the draws of the errors are centred on their value.

    Args:
        forecasts: by name; a source before and after calibration is two names.
        rng: draws the resamples.
        settings: number of draws (`ranking_resamples`: each fits a regression).
        pairs: (name, against) to compare.
    """
    names = list(forecasts)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.stack([_metrics(forecasts[name], weights) for name in names], axis=1)

    n = len(next(iter(forecasts.values())).top)
    resamples = Resamples(n, (settings or EvaluationSettings()).ranking_resamples, rng)
    return evaluate(
        resamples,
        statistic,
        arms=names,
        metrics=METRICS,
        pairs=pairs,
        row_width=20 * n,
        recentred=("top1_ece", "top10_ece"),
    )


def _metrics(forecasts: Forecasts, weights: np.ndarray) -> np.ndarray:
    """METRICS for each row of weights, shape (b, len(METRICS))."""
    known = np.isfinite(forecasts.target)
    loss = -np.log(np.maximum(np.where(known, forecasts.target, 1.0), LEAST))
    log_loss = divide(weights @ loss, weights @ known.astype(float))
    both = ((forecasts.top, forecasts.hit), (forecasts.first, forecasts.among))
    errors = [np.sqrt(np.maximum(squared_error(p, hit, weights), 0)) for p, hit in both]
    regression = slope(forecasts.top, forecasts.hit, weights)
    return np.stack([*errors, regression[:, 0], regression[:, 1], log_loss], axis=1)


def squared_error(top: np.ndarray, hit: np.ndarray, weights: np.ndarray, *, debiased: bool = True) -> np.ndarray:
    """Squared calibration error in BINS equal-mass bins for each row of weights, shape (b,); may be below 0.

    Args:
        top, hit: shape (n,).
        weights: shape (b, n): how often each user counts.
        debiased: subtract what chance alone contributes.
    """
    order, residual = np.argsort(top, kind="stable"), hit.astype(float) - top
    error, total = np.zeros(len(weights)), weights.sum(axis=1)
    for rows in np.array_split(order, max(1, min(BINS, len(order) // 2))):
        mine, r = weights[:, rows], residual[rows]
        n = mine.sum(axis=1)
        mean = divide(mine @ r, n)
        gap = mean**2
        if debiased:
            # nan: a bin of one user shows no variance, and so tells nothing
            gap = gap - divide(divide(mine @ r**2 - n * mean**2, n - 1), n)
        error += np.nan_to_num(gap) * n / total
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
