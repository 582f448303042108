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
) -> QuotaCurve:
    """Recall of the candidate sets of labelled users under every quota of the grid, at one budget.

    Args:
        proposals: of all labelled users.
        labels: user_id, advertiser_id, ad_id (null where unknown).
        is_new: shape (n_labels,).
        settings: budget, grid and interest quota; what the interests leave is the largest quota.
        shown: number of draws.
        rng: draws the resamples.
    """
    quotas = tuple(q for q in settings.choice.grid if q <= 1 - settings.interest_quota + 1e-9)
    sets = {_name(q): proposals.blended(settings.budget, q, settings.interest_quota) for q in quotas}
    pairs = [(_name(b), _name(a)) for i, a in enumerate(quotas) for b in quotas[i + 1 :]]
    recalls = retrieval_recall(sets, labels, is_new, budget=settings.budget, pairs=pairs, rng=rng, settings=shown)
    eligible = proposals.retrieval.ads["advertiser_id"].nunique()
    spread = [concentration(rows, eligible=eligible) for rows in sets.values()]
    return QuotaCurve(quotas, recalls, [(s.top10_share, s.gini) for s in spread], len(labels))


def facts_of(curve: QuotaCurve | None, settings: CandidateSettings) -> dict[str, Any]:
    """The choice as later stages and the report read it.

    Returns:
        quota (the one in use), fixed (by the settings?), chosen (by the curve; null without labelled users), metric,
        users, curve (see `QuotaCurve.as_json`).
    """
    metric = settings.choice.metric
    chosen = None if curve is None else curve.chosen(metric)
    return {
        "quota": settings.quota if settings.quota is not None else (chosen or 0.0),
        "fixed": settings.quota is not None,
        "chosen": chosen,
        "metric": metric,
        "users": 0 if curve is None else curve.users,
        "curve": [] if curve is None else curve.as_json(),
    }


def _gain(found: Difference) -> dict[str, float | None]:
    ends = {"value": found.value, "low": found.low, "high": found.high, "minimum_effect": found.minimum_effect}
    return {name: number(value) for name, value in ends.items()}


def _name(quota: float) -> str:
    return f"{quota:g}"
