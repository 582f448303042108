"""Quality of ranker probabilities: AUC, PR-AUC, log loss, normalized entropy, ECE, paired over users.

Every arm predicts the same rows; users are resampled with all their rows. It does not know features or
models.

    auc                 P(a positive row scores above a negative one), ties count half
    pr_auc              average precision: sum over thresholds of precision * gain in recall
    log_loss            mean negative log likelihood, natural logarithm
    normalized_entropy  log loss / entropy of the base rate (He et al. 2014, "Practical lessons from predicting
                        clicks on ads at Facebook"); below 1 is better than knowing the base rate only
    ece                 mean |observed rate - mean prediction| over bins with equal numbers of rows
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings, Resamples, Statistic, divide, evaluate
from ml.evaluation.results import Evaluation

METRICS = ("auc", "pr_auc", "log_loss", "normalized_entropy", "ece")
SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1 in logarithms (as scikit-learn does)."""


def ranking_quality(
    arms: Mapping[str, np.ndarray],
    labels: np.ndarray,
    users: np.ndarray,
    *,
    pairs: Sequence[tuple[str, str]],
    rng: np.random.Generator,
    settings: EvaluationSettings | None = None,
) -> Evaluation:
    """Metrics of every arm on the same rows.

    Args:
        arms: name -> predicted probabilities, shape (n_rows,).
        labels: shape (n_rows,), 0 or 1.
        users: shape (n_rows,): user of each row, any hashable labels.
        pairs: (arm, against) to compare.
        rng: draws the resamples.
        settings: number of draws and of bins.

    Raises:
        BadInput: no row, arms of different length, a label other than 0 and 1, or a value that is no probability.
    """
    settings = settings or EvaluationSettings()
    labels = np.asarray(labels, dtype=float)
    _check(arms, labels, users)
    names, user = np.unique(users, return_inverse=True)
    statistics = [arm_statistic(np.asarray(p, float), labels, user, settings.calibration_bins) for p in arms.values()]
    return evaluate(
        Resamples(len(names), settings.ranking_resamples, rng),
        lambda weights: np.stack([statistic(weights) for statistic in statistics], axis=1),
        arms=list(arms),
        metrics=METRICS,
        pairs=pairs,
        row_width=len(labels),
        recentred=("ece",),
    )


def arm_statistic(probability: np.ndarray, labels: np.ndarray, user: np.ndarray, bins: int) -> Statistic:
    """All METRICS of one arm as one statistic: weights (b, n_users) -> (b, len(METRICS)).

    Sorting and binning happen here, once; a draw then only sums.
    """
    curves = Curves.of(probability, labels, user)
    losses = loss_metrics(probability, labels, user)
    calibration = calibration_error(probability, labels, user, bins)

    def statistic(weights: np.ndarray) -> np.ndarray:
        auc, pr_auc = curves.areas(weights)
        log_loss, normalized_entropy = losses(weights)
        return np.column_stack([auc, pr_auc, log_loss, normalized_entropy, calibration(weights)])

    return statistic


@dataclass(frozen=True)
class Curves:
    """Rows sorted by falling probability; a run is all rows of one probability.

    A draw needs one gather and one running sum over the rows; the rest happens at the positive rows only.
    """

    user: np.ndarray
    """User of each row."""
    positive_user: np.ndarray
    """User of each positive row."""
    run: np.ndarray
    """Shape (2, n_positive): first row and end row of the run that each positive row lies in."""
    positive_run: np.ndarray
    """The same, counted in positive rows."""

    @classmethod
    def of(cls, probability: np.ndarray, labels: np.ndarray, user: np.ndarray) -> Curves:
        order = np.argsort(-probability, kind="stable")
        falling, positive, user = -probability[order], labels[order] > 0, user[order]
        runs = [np.stack([np.searchsorted(x, falling[positive], side) for side in ("left", "right")])
                for x in (falling, falling[positive])]  # fmt: skip
        return cls(user, user[positive], *runs)

    def areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """AUC and average precision of each draw, nan where it lacks a class."""
        mine = weights[:, self.positive_user]
        rows, positives = running_sum(weights[:, self.user]), running_sum(mine)
        n_positive = positives[:, -1]
        n_negative = rows[:, -1] - n_positive
        rows_before, rows_through = rows[:, self.run[0]], rows[:, self.run[1]]
        positives_before, positives_through = positives[:, self.positive_run[0]], positives[:, self.positive_run[1]]
        # A positive beats the negatives after its run, and half of those in it.
        negatives = (rows_through - positives_through + rows_before - positives_before) / 2
        auc = divide((mine * (n_negative[:, None] - negatives)).sum(axis=1), n_positive * n_negative)
        pr_auc = divide((mine * positives_through / np.maximum(rows_through, 1)).sum(axis=1), n_positive)
        return auc, pr_auc


def running_sum(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ..., n columns: (b, n) -> (b, n + 1)."""
    sums = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def loss_metrics(
    probability: np.ndarray, labels: np.ndarray, user: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Log loss and normalized entropy, both from sums by user; the base rate is that of the draw."""
    clipped = np.clip(probability, SMALLEST, 1 - SMALLEST)
    loss = -np.where(labels > 0, np.log(clipped), np.log1p(-clipped))
    sums = np.column_stack([np.bincount(user, column) for column in (loss, labels, np.ones_like(labels))])

    def statistic(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        total, positive, rows = (weights @ sums).T
        log_loss, rate = divide(total, rows), divide(positive, rows)
        return log_loss, divide(log_loss, entropy(rate))

    return statistic


def entropy(rate: np.ndarray) -> np.ndarray:
    """Entropy of a coin in nats; 0 for a rate of 0 or 1."""
    inside = np.clip(rate, SMALLEST, 1 - SMALLEST)
    certain = (rate <= 0) | (rate >= 1)
    return np.where(certain, 0.0, -(inside * np.log(inside) + (1 - inside) * np.log1p(-inside)))


def calibration_error(probability: np.ndarray, labels: np.ndarray, user: np.ndarray, bins: int) -> Statistic:
    """ECE over bins with equal numbers of rows, whose edges are those of the whole sample.

    Equal predictions share a bin, so few distinct predictions make fewer bins.
    """
    edges = np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1])
    cell = user * bins + np.searchsorted(edges, probability)
    n_users = int(user.max()) + 1
    gaps = np.bincount(cell, labels - probability, minlength=n_users * bins).reshape(n_users, bins)
    rows = np.bincount(user)
    return lambda weights: divide(np.abs(weights @ gaps).sum(axis=1), weights @ rows)


def _check(arms: Mapping[str, np.ndarray], labels: np.ndarray, users: np.ndarray) -> None:
    where = "ranker evaluation"
    if len(labels) == 0 or not arms:
        raise BadInput("nothing to evaluate", where=where, remedy="check that test impressions have labels")
    if not np.isin(labels, (0, 1)).all():
        raise BadInput("a label other than 0 and 1", where=where, remedy="pass binary labels")
    for arm, probability in {**arms, "users": np.zeros(len(users))}.items():
        values = np.asarray(probability)
        if values.shape != labels.shape:
            raise BadInput(f"{values.shape} values, {labels.shape} labels", where=f"{where}, {arm}", remedy="same rows")
        if not ((values >= 0) & (values <= 1)).all():
            raise BadInput("a value that is no probability", where=f"{where}, {arm}", remedy="calibrate scores first")
