"""Recall of advertiser predictions: is the advertiser a user converts with among the k predicted?

    recall@k            over all targets; one outside the catalogue is a miss, so is a user without predictions
    new_recall@k        over targets whose advertiser the user had not converted with before
    catalogue_recall@k  over targets in the catalogue

It does not know which source is favoured, nor calibration: only ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ml.errors import BadInput
from ml.evaluation.bootstrap import EvaluationSettings, Resamples, evaluate, ratio_of_sums
from ml.evaluation.results import Evaluation

CUTS = (1, 5, 10, 20)
METRICS = tuple(f"{kind}@{k}" for kind in ("recall", "new_recall", "catalogue_recall") for k in CUTS)


def recall(
    predictions: Mapping[str, pd.DataFrame],
    labels: pd.DataFrame,
    is_new: np.ndarray,
    catalogue_ids: np.ndarray,
    *,
    rng: np.random.Generator,
    settings: EvaluationSettings | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> Evaluation:
    """Recall of every source on the same users.

    Args:
        predictions: source -> table of `ml.predictors.predictions` for one day, with at least 20 ranks where
            the catalogue has them.
        labels: user_id, advertiser_id: one target a user.
        is_new: shape (n_labels,): see `ml.contexts.labels.new_to_user`.
        catalogue_ids: advertisers that could be predicted.
        rng: draws the resamples.
        settings: number of draws.
        pairs: (arm, against) to compare; by default `usual_pairs`.

    Raises:
        BadInput: no label, or two labels of one user.
    """
    if labels["user_id"].duplicated().any():
        raise BadInput("several labels of one user", where="labels", remedy="keep the first conversion of each user")
    settings = settings or EvaluationSettings()
    sources = list(predictions)
    resamples = Resamples(len(labels), settings.resamples, rng)
    hits = np.stack([ranks(predictions[source], labels)[:, None] <= CUTS for source in sources], axis=1)
    in_catalogue = np.isin(labels["advertiser_id"].to_numpy(), catalogue_ids)
    slices = np.column_stack([np.ones(len(labels), dtype=bool), np.asarray(is_new, dtype=bool), in_catalogue])
    # hits: (users, sources, cuts); slices: (users, slices) -> (users, sources, slices x cuts)
    numerators = (hits[:, :, None, :] & slices[:, None, :, None]).reshape(len(labels), len(sources), -1)
    denominators = np.repeat(slices, len(CUTS), axis=1)[:, None, :]
    return evaluate(
        resamples,
        ratio_of_sums(numerators, denominators),
        arms=sources,
        metrics=METRICS,
        pairs=usual_pairs(sources) if pairs is None else pairs,
    )


def usual_pairs(sources: Sequence[str]) -> list[tuple[str, str]]:
    """llm against every other source, and placebo against popularity: as far as they are there."""
    pairs = [("llm", source) for source in sources if source != "llm"] if "llm" in sources else []
    return [*pairs, ("placebo", "popularity")] if {"placebo", "popularity"} <= set(sources) else pairs


def ranks(predictions: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    """Rank of each label's advertiser in its user's predictions, inf where it is not among them.

    Args:
        predictions: user_id, advertiser_id, rank; at most once per user and advertiser.
        labels: user_id, advertiser_id.

    Returns:
        Shape (n_labels,), in the order of `labels`.
    """
    keys = ["user_id", "advertiser_id"]
    found = labels[keys].merge(predictions[[*keys, "rank"]], on=keys, how="left", validate="many_to_one")
    return np.asarray(found["rank"].fillna(np.inf).to_numpy(dtype=float))
