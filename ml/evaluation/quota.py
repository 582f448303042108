"""The recall-at-equal-budget curve, and the quota chosen from it on the validation window.

Every quota of the grid makes candidate sets of the same size for the same users; their recalls are paired over users.
Chosen is the smallest quota whose recall is not clearly (95 % interval) below that of the best: slots are taken from
the conventional generator, and crowd small advertisers out, only as far as that demonstrably finds more. So 0 is
chosen where a source adds nothing, or where the sample is too small to show that it adds anything.

It reads labels: nothing that predicts may import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.candidates.arms import Proposals
from ml.candidates.concentration import concentration
from ml.candidates.settings import CandidateSettings
from ml.evaluation.bootstrap import EvaluationSettings
from ml.evaluation.results import Difference, Evaluation, number
from ml.evaluation.retrieval import METRICS, retrieval_recall


@dataclass(frozen=True)
class QuotaCurve:
    """Recall by quota.

    Attributes:
        quotas: ascending, the first is 0.
        recalls: an arm a quota, named like it, with every difference of a larger and a smaller one.
        spread: (top10_share, gini) by quota.
        users: labelled users.
    """

    quotas: tuple[float, ...]
    recalls: Evaluation
    spread: list[tuple[float, float]]
    users: int

    def chosen(self, metric: str) -> float:
        """The smallest quota whose recall is not clearly below the best; 0 where the metric has no value."""
        values = np.array([self.recalls.metrics[_name(q)][metric].value for q in self.quotas])
        if not np.isfinite(values).any():
            return 0.0
        best = self.quotas[int(np.nanargmax(values))]
        clearly = {frozenset((d.arm, d.against)): d.is_clear for d in self.recalls.differences if d.metric == metric}
        return next(q for q in self.quotas if q == best or not clearly[frozenset((_name(best), _name(q)))])

    def as_json(self) -> list[dict[str, Any]]:
        """An object a quota: quota, each recall with its interval, gain over quota 0 (paired), top10_share, gini."""
        gains = {(d.arm, d.metric): d for d in self.recalls.differences if d.against == _name(0.0)}
        return [
            {
                "quota": quota,
                **{metric: self.recalls.metrics[_name(quota)][metric].as_json() for metric in METRICS},
                "gain": {m: _gain(gains[_name(quota), m]) for m in METRICS if (_name(quota), m) in gains},
                "top10_share": top10_share,
                "gini": gini,
            }
            for quota, (top10_share, gini) in zip(self.quotas, self.spread, strict=True)
        ]


def quota_curve(
    proposals: Proposals,
    labels: pd.DataFrame,
    is_new: np.ndarray,
    settings: CandidateSettings,
    shown: EvaluationSettings,
    rng: np.random.Generator,
    *,
    quota: float | None = None,
    interest_quota: float | None = None,
) -> QuotaCurve:
    """Recall of the candidate sets of labelled users by one of the quotas, the other fixed, at one budget.

    Args:
        proposals: of all labelled users.
        labels: user_id, advertiser_id, ad_id (null where unknown).
        is_new: shape (n_labels,).
        settings: budget, and the grid; of it what the other quota leaves.
        shown: number of draws.
        rng: draws the resamples.
        quota, interest_quota: the one that is fixed; the other is None and takes the values of the grid.
    """
    fixed = (quota or 0.0) + (interest_quota or 0.0)
    grid = tuple(q for q in settings.choice.grid if q <= 1 - fixed + 1e-9)
    sets = {
        _name(q): proposals.blended(
            settings.budget, q if quota is None else quota, q if interest_quota is None else interest_quota
        )
        for q in grid
    }
    pairs = [(_name(b), _name(a)) for i, a in enumerate(grid) for b in grid[i + 1 :]]
    recalls = retrieval_recall(sets, labels, is_new, budget=settings.budget, pairs=pairs, rng=rng, settings=shown)
    eligible = proposals.retrieval.ads["advertiser_id"].nunique()
    spread = [concentration(rows, eligible=eligible) for rows in sets.values()]
    return QuotaCurve(grid, recalls, [(s.top10_share, s.gini) for s in spread], len(labels))


def choose_quotas(
    proposals: Proposals,
    labels: pd.DataFrame,
    is_new: np.ndarray,
    settings: CandidateSettings,
    shown: EvaluationSettings,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The quota of predicted advertisers, then that of predicted interests given it.

    Args:
        proposals, labels, is_new, settings, shown, rng: see `quota_curve`; of the validation window.

    Returns:
        quota, interest_quota (those in use), metric, users, and of the first: fixed (by the settings?), chosen (null
        without labelled users), curve (see `QuotaCurve.as_json`), and the same of the second, named interest_*
        (interest_chosen is null where nothing forecasts interests).
    """
    judged = (labels, is_new, settings, shown)
    metric, asked = settings.choice.metric, settings.interest_quota
    curve = quota_curve(proposals, *judged, rng, interest_quota=asked or 0.0) if len(labels) else None
    chosen = curve.chosen(metric) if curve else None
    quota = settings.quota if settings.quota is not None else (chosen or 0.0)
    known = len(labels) and len(proposals.interesting)
    interest = quota_curve(proposals, *judged, rng, quota=quota) if known else None
    interest_chosen = interest.chosen(metric) if interest else None
    return {
        "quota": quota,
        "interest_quota": asked if asked is not None else (interest_chosen or 0.0),
        "metric": metric,
        "users": len(labels),
        "fixed": settings.quota is not None,
        "chosen": chosen,
        "curve": curve.as_json() if curve else [],
        "interest_fixed": asked is not None,
        "interest_chosen": interest_chosen,
        "interest_curve": interest.as_json() if interest else [],
    }


def _gain(found: Difference) -> dict[str, float | None]:
    ends = {"value": found.value, "low": found.low, "high": found.high, "minimum_effect": found.minimum_effect}
    return {name: number(value) for name, value in ends.items()}


def _name(quota: float) -> str:
    return f"{quota:g}"
