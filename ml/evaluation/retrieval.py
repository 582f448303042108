"""Recall of candidate sets at equal budget: is the ad, or the advertiser, a user converts with among the candidates?

    ad_recall              over targets with a known ad
    advertiser_recall      over all targets
    new_advertiser_recall  over targets whose advertiser is new to the user

It does not know how candidates were generated or ranked: a set is a set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings, Resamples, evaluate, ratio_of_sums
from ml.evaluation.results import Evaluation

METRICS = ("ad_recall", "advertiser_recall", "new_advertiser_recall")


def retrieval_recall(
    candidates: Mapping[str, pd.DataFrame],
    targets: pd.DataFrame,
    is_new: np.ndarray,
    *,
    budget: int,
    pairs: Sequence[tuple[str, str]],
    rng: np.random.Generator,
    settings: EvaluationSettings | None = None,
) -> Evaluation:
    """Recall of each arm's candidate sets, paired over users.

    Args:
        candidates: arm -> user_id, ad_id, advertiser_id: one row a candidate.
        targets: user_id, ad_id (null where unknown), advertiser_id; a user may have several.
        is_new: shape (n_targets,).
        budget: most candidates a user; every arm must keep it.
        pairs: (arm, against) to compare.
        rng: draws the resamples.
        settings: number of draws.

    Raises:
        BadInput: no target, or an arm that exceeds the budget.
    """
    settings = settings or EvaluationSettings()
    for arm, table in candidates.items():
        _check_budget(arm, table, budget)
    codes, users = pd.factorize(targets["user_id"])
    resamples = Resamples(len(users), settings.resamples, rng)
    known_ad = targets["ad_id"].notna().to_numpy()
    slices = np.column_stack([known_ad, np.ones(len(targets), dtype=bool), np.asarray(is_new, dtype=bool)])
    hits = np.stack([_hits(table, targets) for table in candidates.values()], axis=1)
    numerators = per_user(hits & slices[:, None, :], codes, len(users))
    denominators = per_user(slices[:, None, :], codes, len(users))
    return evaluate(
        resamples,
        ratio_of_sums(numerators, denominators),
        arms=list(candidates),
        metrics=METRICS,
        pairs=pairs,
    )


def per_user(values: np.ndarray, user: np.ndarray, n_users: int) -> np.ndarray:
    """Sums of rows by user: (n_rows, ...) -> (n_users, ...)."""
    sums = np.zeros((n_users, *values.shape[1:]))
    np.add.at(sums, user, values)
    return sums


def _hits(table: pd.DataFrame, targets: pd.DataFrame) -> np.ndarray:
    """Shape (n_targets, 3): ad found, advertiser found, advertiser found."""
    ad = _found(table, targets, "ad_id")
    advertiser = _found(table, targets, "advertiser_id")
    return np.column_stack([ad, advertiser, advertiser])


def _found(table: pd.DataFrame, targets: pd.DataFrame, what: str) -> np.ndarray:
    offered = pd.MultiIndex.from_frame(table[["user_id", what]])
    wanted = pd.MultiIndex.from_frame(targets[["user_id", what]])
    return np.asarray(wanted.isin(offered) & targets[what].notna().to_numpy())


def _check_budget(arm: str, table: pd.DataFrame, budget: int) -> None:
    sizes = table.groupby("user_id").size()
    if len(sizes) and sizes.max() > budget:
        raise BadInput(
            f"{sizes.max()} candidates of user {sizes.idxmax()}, budget {budget}",
            where=f"candidate sets of arm {arm}",
            remedy="arms are compared at equal budget: cut the sets first",
        )
