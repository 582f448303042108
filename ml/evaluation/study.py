"""The study of one snapshot day: predictors, retrieval arms and ranker arms on the same labelled users.

Each function returns its sections of report.json (docs/report-json.md). It reads past `as_of`, as far as
the Timeline's test window goes; nothing that predicts may import it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ml.candidates.ad_retrieval import AdRetrieval
from ml.candidates.arms import CONVENTIONAL, Proposals, retrieval_arms
from ml.candidates.concentration import concentration
from ml.candidates.settings import CandidateSettings
from ml.contexts.labels import new_to_user, test_labels, with_context
from ml.contexts.stream import UserContexts
from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings, Resamples
from ml.evaluation.calibration import Forecasts, calibration
from ml.evaluation.importance import study_importance
from ml.evaluation.quota import quota_curve
from ml.evaluation.ranked import exclusive_hits, groups_of, judge, ranks_in_table, usual_pairs
from ml.evaluation.ranking import ranking_quality
from ml.evaluation.retrieval import retrieval_recall
from ml.lake import Lake
from ml.predictors.placebo import SOURCE as PLACEBO
from ml.progress import Progress, silent
from ml.ranking.arms import NONE, arms
from ml.ranking.converts import ConvertsModel
from ml.ranking.impressions import ranker_rows
from ml.ranking.model import RankingModel
from ml.ranking.priors import Priors
from ml.ranking.reliability import reliability
from ml.ranking.settings import RankerSettings
from ml.ranking.targets import CLICK, CONVERSION, TARGETS, are_impressions
from ml.timeline import Timeline

COMPARED = (
    *("recall@1", "recall@10", "recall@20", "ndcg@10"),
    *("new_recall@10", "new_recall@20", "short_recall@20", "rare_recall@20"),
)
"""Metrics whose paired differences are reported; of the others the values are."""
EXCLUSIVE_AT = 20
ARMS_OF_RETRIEVAL = ("llm", "cooccurrence", "popularity", "placebo")
ARMS_EXPLAINED = ("none", "llm", "placebo")
"""Rankers whose features are shuffled: importance is dear, and these are the ones it is asked of."""


def labelled(
    lake: Lake, timeline: Timeline, contexts: UserContexts, scored: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray, dict[str, int]]:
    """The test users: those with a label, a context and predictions.

    Args:
        scored: ids of the users every source predicted for.

    Returns:
        Labels, whether each is new to its user, and counts of labels left out.

    Raises:
        BadInput: nobody is left.
    """
    everyone = test_labels(lake, timeline)
    known = with_context(everyone, contexts)
    labels = known[known["user_id"].isin(scored)].reset_index(drop=True)
    if labels.empty:
        raise BadInput(
            f"no scored user converted in {timeline.test}",
            where="evaluation",
            remedy="choose an earlier as_of, or score more users (predictions.max_users, predictions.min_conversions)",
        )
    counts = {
        "labelled_users": len(everyone),
        "labels_without_context": len(everyone) - len(known),
        "labels_not_scored": len(known) - len(labels),
    }
    return labels, new_to_user(contexts, labels), counts


def study_predictors(
    predictions: dict[str, pd.DataFrame],
    contexts: UserContexts,
    labels: pd.DataFrame,
    is_new: np.ndarray,
    catalogue: pd.DataFrame,
    settings: EvaluationSettings,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Rankings, exclusive hits and calibration of every source, and the paired differences of the LLM against each."""
    ids = catalogue["advertiser_id"].to_numpy()
    groups = groups_of(contexts, labels, is_new, catalogue)
    ranks = {source: ranks_in_table(table, labels) for source, table in predictions.items()}
    found = judge(ranks, groups, rng=rng, settings=settings)
    forecasts = {source: Forecasts.of_table(table, labels, ids) for source, table in predictions.items()}
    return {
        "counts": {
            "test_users": len(labels),
            "new_share": float(np.mean(is_new)),
            "catalogue": len(ids),
            "labels_outside_catalogue": float(np.mean(~groups["catalogue"])),
        },
        "predictors": found.metrics_json(),
        "predictor_groups": {group or "all": int(mask.sum()) for group, mask in groups.items()},
        "predictor_differences": found.differences_json(COMPARED),
        "predictor_exclusive": _exclusive(ranks, Resamples(len(labels), settings.resamples, rng.spawn(1)[0])),
        "predictor_calibration": calibration(forecasts, rng=rng.spawn(1)[0], settings=settings).metrics_json(),
        "predictor_reliability": {source: reliability(f.top, f.hit.astype(float)) for source, f in forecasts.items()},
    }


def _exclusive(ranks: dict[str, np.ndarray], resamples: Resamples) -> dict[str, Any]:
    """Hits at EXCLUSIVE_AT that no other single source finds; the placebo, who finds by luck, is none of the others."""
    singles = [source for source in ranks if "+" not in source]
    found = {}
    for source in singles:
        others = [other for other in singles if other not in (source, PLACEBO)]
        if others:
            share = exclusive_hits(ranks, source, others, k=EXCLUSIVE_AT, resamples=resamples)
            found[source] = {f"exclusive_hits@{EXCLUSIVE_AT}": share.as_json()}
    return found


def study_retrieval(
    retrieval: AdRetrieval,
    predictions: dict[str, pd.DataFrame],
    labels: pd.DataFrame,
    is_new: np.ndarray,
    candidates: CandidateSettings,
    settings: EvaluationSettings,
    rng: np.random.Generator,
    *,
    quota: dict[str, Any],
    interests: pd.DataFrame,
) -> dict[str, Any]:
    """Recall of candidate sets with and without a quota for predicted advertisers, at equal budget.

    The LLM's arm is what is in use: with the slots of its interests. No other source forecasts any.

    Args:
        quota: what was chosen on the validation window, see `ml.evaluation.quota.choose_quotas`.
        interests: the LLM's, see `ml.llm.interests`.
    """
    by_source = {name: predictions[name] for name in ARMS_OF_RETRIEVAL if name in predictions}
    users, share = labels["user_id"].to_numpy(dtype=object), float(quota["quota"])
    shares = {"quota": share, "interest_quota": float(quota["interest_quota"])}
    sets = retrieval_arms(retrieval, by_source, users, candidates, interests={"llm": interests}, **shares)
    pairs = [(arm, CONVENTIONAL) for arm in by_source] + [("llm", arm) for arm in by_source if arm != "llm"]
    found = retrieval_recall(sets, labels, is_new, budget=candidates.budget, pairs=pairs, rng=rng, settings=settings)
    eligible = retrieval.ads["advertiser_id"].nunique()
    spread = {arm: concentration(rows, eligible=eligible) for arm, rows in sets.items()}
    proposals = Proposals.of(retrieval, predictions["llm"], users, candidates, interests)
    judged = (labels, is_new, candidates, settings, rng.spawn(1)[0])
    curve = quota_curve(proposals, *judged, interest_quota=candidates.interest_quota or 0.0)
    return {
        "retrieval": found.metrics_json(),
        "retrieval_differences": found.differences_json(),
        "retrieval_budget": candidates.budget,
        "retrieval_quota": share,
        "retrieval_quota_choice": {**quota, "test_curve": curve.as_json()},
        "concentration": {arm: {"top10_share": s.top10_share, "gini": s.gini} for arm, s in spread.items()},
    }


def study_ranker(
    lake: Lake,
    timeline: Timeline,
    models: dict[str, RankingModel],
    priors: dict[str, Priors],
    converts: ConvertsModel | None,
    ranker_settings: RankerSettings,
    settings: EvaluationSettings,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Ranker quality per arm on the test window's rows of the scored users, and what each ranker leans on.

    P(conversion | impression) in the sections `ranker*`, pCTR in `ranker_click*` (empty where no model has it). On
    sampled negatives log loss and ECE are relative to the sample and mean nothing: they are null.
    """
    rows = ranker_rows(
        lake,
        timeline,
        negatives=ranker_settings.negatives,
        rng=rng,
        attribution=ranker_settings.attribution,
        users=next(iter(priors.values())).predictions["user_id"].unique(),
        max_rows=ranker_settings.max_rows,
        splits=("test",),
    )
    frames = arms(lake, rows, priors, converts)
    probabilities = {arm: model.predict(frames[arm]) for arm, model in models.items()}
    found = {**_of_target(CONVERSION, "ranker", probabilities, rows, settings, rng)}
    found |= _of_target(CLICK, "ranker_click", probabilities, rows, settings, rng)
    return {
        **found,
        "ranker_rows": {"test": len(rows), "positives_test": int(rows["label"].sum())},
        **study_importance(
            {arm: model.conversion for arm, model in models.items() if arm in ARMS_EXPLAINED},
            frames,
            rows,
            calibrated=are_impressions(rows),
            settings=settings,
            rng=rng.spawn(1)[0],
            progress=progress,
        ),
    }


def _of_target(
    target: str,
    section: str,
    probabilities: dict[str, dict[str, np.ndarray]],
    rows: pd.DataFrame,
    settings: EvaluationSettings,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Quality, paired differences and reliability of one target's probabilities, by arm."""
    mine = {arm: found[target] for arm, found in probabilities.items() if target in found}
    if not mine:
        return {section: {}, f"{section}_differences": [], f"{section}_reliability": {}}
    labels, users, shown = TARGETS[target].labels(rows), rows["user_id"].to_numpy(), are_impressions(rows)
    pairs = ranker_pairs(list(mine))
    found = ranking_quality(mine, labels, users, pairs=pairs, rng=rng, settings=settings)
    metrics, differences = found.metrics_json(), found.differences_json()
    if not shown:
        _blank(metrics, differences, ("log_loss", "normalized_entropy", "ece"))
    reliable = {arm: reliability(p, labels) for arm, p in mine.items()} if shown else {}
    return {section: metrics, f"{section}_differences": differences, f"{section}_reliability": reliable}


def ranker_pairs(arms: list[str]) -> list[tuple[str, str]]:
    """What is compared: every arm with none, then the arms with each other as in `usual_pairs`."""
    sources = [arm for arm in arms if arm != NONE]
    return [(arm, NONE) for arm in sources] + usual_pairs(sources)


def _blank(metrics: dict[str, Any], differences: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    """Figures that mean nothing for a source become null; the report shows "n/a"."""
    for by_metric in metrics.values():
        by_metric.update(dict.fromkeys(names))
    for difference in differences:
        if difference["metric"] in names:
            difference.update(value=None, low=None, high=None, minimum_effect=None, p_holm=None)
