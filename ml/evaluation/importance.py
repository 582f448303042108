"""What the ranker leans on: gain beside permutation importance, by feature and by group of features.

Gain is what splits on a feature saved in training; it flatters features with many values, which fit noise. Permutation
importance is what test rows lose when the feature's values are dealt out anew: the drop of AUC and the rise of
log loss. Columns of a group move together, since one of two like columns can stand in for the other (the priors').

Values are dealt out among the rows of the same day. Over all days a feature would be credited with telling days
apart, which ranking never needs; within a user nothing that describes the user could change. Arms share the
draws. scikit-learn's permutation_importance knows neither days, groups nor intervals over users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from ml.evaluation.bootstrap import EvaluationSettings, Resamples, Statistic, divide, interval_of
from ml.evaluation.ranking import SMALLEST
from ml.evaluation.results import Interval
from ml.progress import Progress, silent
from ml.ranking.feature_groups import GROUPS, group_of
from ml.ranking.negatives import whole_users
from ml.ranking.ranker import Ranker

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Cost:
    """What shuffling some columns costs."""

    auc_drop: Interval
    log_loss_rise: Interval


NOTHING = Cost(Interval(0.0, 0.0, 0.0), Interval(0.0, 0.0, 0.0))
"""Of columns that no tree splits on."""
UNMEASURED: dict[str, Any] = {"auc_drop": None, "log_loss_rise": None}
FEATURES_SHUFFLED = 20
"""Features of an arm, those with most gain, that are shuffled one by one; every feature is in a group's shuffle."""


def study_importance(
    rankers: Mapping[str, Ranker],
    frames: Mapping[str, pd.DataFrame],
    rows: pd.DataFrame,
    *,
    calibrated: bool,
    settings: EvaluationSettings,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> dict[str, Any]:
    """The sections ranker_importance, ranker_importance_groups and ranker_importance_sample of report.json.

    Args:
        rankers: by arm.
        frames: features of `rows` by arm, same order.
        rows: test rows: user_id, day, label.
        calibrated: whether log loss means something; if not (sampled negatives) its rises are null.
        settings: rows, repeats and draws.
        rng: draws rows, permutations and users.
        progress: told the arms done.
    """
    taken = whole_users(rows.assign(place=np.arange(len(rows))), settings.importance_rows, rng)
    places, labels = taken["place"].to_numpy(), taken["label"].to_numpy(float)
    names, user = np.unique(taken["user_id"].to_numpy(), return_inverse=True)
    dealt = [deal_within(taken["day"].to_numpy(), rng) for _ in range(settings.importance_repeats)]
    resamples = Resamples(len(names), settings.ranking_resamples, rng)
    found: dict[str, Any] = {"ranker_importance": {}, "ranker_importance_groups": {}}
    for done, (arm, ranker) in enumerate(rankers.items(), start=1):
        matrix = ranker.matrix(frames[arm].iloc[places])
        shuffled = Shuffled(ranker.predict_matrix, matrix, labels, user, dealt, resamples)
        features, groups = _of_arm(ranker, shuffled, calibrated)
        found["ranker_importance"][arm], found["ranker_importance_groups"][arm] = features, groups
        progress(done, len(rankers), "arms shuffled")
    sample = {"rows": len(taken), "users": len(names), "repeats": settings.importance_repeats}
    return {**found, "ranker_importance_sample": sample}


def _of_arm(ranker: Ranker, shuffled: Shuffled, calibrated: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Every feature, and every group, of one arm; largest share of gain first."""
    gains = ranker.importance()
    gains["group"] = gains["feature"].map(group_of)
    groups = {name: gains[gains["group"] == name] for name in GROUPS if name in set(gains["group"])}
    singles = gains[gains["share"] > 0]["feature"].head(FEATURES_SHUFFLED).tolist()
    place = {name: number for number, name in enumerate(ranker.features)}
    units = [[place[name]] for name in singles]
    units += [[place[name] for name in mine["feature"]] for mine in groups.values()]
    costs = [_as_json(cost, calibrated) for cost in shuffled.costs(units)]
    of_feature = dict(zip(singles, costs, strict=False))
    by_feature = [
        {"feature": name, "group": group, "gain": gain, "gain_share": share}
        | of_feature.get(name, UNMEASURED if share > 0 else _as_json(NOTHING, calibrated))
        for name, group, gain, share in gains[["feature", "group", "gain", "share"]].to_numpy().tolist()
    ]
    by_group = [
        {"group": name, "features": len(mine), "gain_share": float(mine["share"].sum()), **cost}
        for (name, mine), cost in zip(groups.items(), costs[len(singles) :], strict=True)
    ]
    return by_feature, by_group


def _as_json(cost: Cost, calibrated: bool) -> dict[str, Any]:
    rise = cost.log_loss_rise.as_json() if calibrated else None
    return {"auc_drop": cost.auc_drop.as_json(), "log_loss_rise": rise}


class Shuffled:
    """One arm's predictions on the same rows, with any columns dealt out anew.

    Args:
        predict: a matrix of features -> probabilities.
        matrix: the rows' features; left as it is.
        labels: 0 or 1.
        user: number of each row's user.
        dealt: for each repeat, the row that each row gets its values from.
        resamples: draws of users.
    """

    def __init__(
        self,
        predict: Predict,
        matrix: np.ndarray,
        labels: np.ndarray,
        user: np.ndarray,
        dealt: list[np.ndarray],
        resamples: Resamples,
    ) -> None:
        self.predict, self.matrix, self.labels, self.user = predict, matrix, labels, user
        self.dealt, self.resamples = dealt, resamples
        self.rows = np.bincount(user, minlength=resamples.n_users).astype(float)
        before = predict(matrix)
        self.auc, self.loss = area(before, labels, user, resamples.n_users), self._loss(before)

    def costs(self, units: list[list[int]]) -> list[Cost]:
        """What dealing out each unit's columns together costs: mean over the repeats, intervals over users."""
        statistics = [self._changes(columns) for columns in units]
        found = self.resamples.replicate(lambda weights: np.stack([change(weights) for change in statistics], axis=1))
        return [
            Cost(*(interval_of(float(found.value[unit, i]), found.draws[:, unit, i]) for i in range(2)))
            for unit in range(len(units))
        ]

    def _changes(self, columns: list[int]) -> Statistic:
        """Drop of AUC and rise of log loss: weights (b, n_users) -> (b, 2)."""
        changed, areas, losses = self.matrix.copy(), [], []
        for rows in self.dealt:
            changed[:, columns] = self.matrix[rows][:, columns]
            after = self.predict(changed)
            areas.append(area(after, self.labels, self.user, self.resamples.n_users))
            losses.append(self._loss(after))
        rise = np.mean(losses, axis=0) - self.loss

        def statistic(weights: np.ndarray) -> np.ndarray:
            drop = self.auc(weights) - np.mean([auc(weights) for auc in areas], axis=0)
            return np.column_stack([drop, divide(weights @ rise, weights @ self.rows)])

        return statistic

    def _loss(self, probability: np.ndarray) -> np.ndarray:
        """Summed log loss of each user's rows."""
        clipped = np.clip(probability, SMALLEST, 1 - SMALLEST)
        loss = -np.where(self.labels > 0, np.log(clipped), np.log1p(-clipped))
        return np.bincount(self.user, loss, minlength=self.resamples.n_users)


def deal_within(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random permutation of rows that leaves each in its stratum: shape (n,), the row each gets its values from."""
    _, stratum = np.unique(strata, return_inverse=True)
    dealt = np.empty(len(stratum), dtype=int)
    dealt[np.argsort(stratum, kind="stable")] = np.lexsort((rng.random(len(stratum)), stratum))
    return dealt


def area(probability: np.ndarray, labels: np.ndarray, user: np.ndarray, n_users: int) -> Statistic:
    """AUC as a statistic of user weights, ties half: that of `ml.evaluation.ranking`, at a tenth of its cost.

    Negatives are counted by user between the positives' probabilities, once; a draw is then one sparse product.
    """
    positive = labels > 0
    levels, level = np.unique(probability[positive], return_inverse=True)
    negatives = probability[~positive]
    # Slot 2k lies below level k (and above k - 1), slot 2k + 1 at it.
    slot = np.searchsorted(levels, negatives, "left") + np.searchsorted(levels, negatives, "right")
    below = _counts(slot, user[~positive], (2 * len(levels) + 1, n_users))
    at = _counts(level, user[positive], (len(levels), n_users))

    def statistic(weights: np.ndarray) -> np.ndarray:
        mine, theirs = at @ weights.T, below @ weights.T
        beaten = np.cumsum(theirs, axis=0)[:-1:2] + theirs[1::2] / 2
        return divide((mine * beaten).sum(axis=0), mine.sum(axis=0) * theirs.sum(axis=0))

    return statistic


def _counts(row: np.ndarray, column: np.ndarray, shape: tuple[int, int]) -> csr_matrix:
    return csr_matrix((np.ones(len(row)), (row, column)), shape=shape)
