"""Fits and runs every cheap source for the users the LLM was run for, so that all are compared on the same people."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.placebo import placebo
from ml.predictors.registry import BaselineSettings, baselines
from ml.progress import Progress, silent


def predict_controls(
    examples: TrainingExamples,
    contexts: UserContexts,
    llm: pd.DataFrame,
    catalogue_ids: np.ndarray,
    settings: BaselineSettings,
    *,
    k: int,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    """Predictions of all cheap sources and of the placebo.

    Args:
        examples: what they are fitted on: all training users, whatever sample the LLM got.
        contexts: the day's contexts.
        llm: the LLM's predictions of that day; its users are the ones predicted for.
        catalogue_ids: advertisers eligible on the day; one that has left since the training cutoff is no prediction.
        settings: of each source.
        k: advertisers a user.
        rng: draws the placebo's shuffle.

    Returns:
        A table of `ml.predictors.predictions` with one source after another, and by source what it cost:
        `fit_cpu_seconds` and `cpu_seconds_per_1000_users`.
    """
    mine = contexts.take(np.flatnonzero(np.isin(contexts.user_ids, llm["user_id"].unique())))
    tables, costs = [], {}
    sources = baselines(settings)
    for done, source in enumerate(sources, start=1):
        gone = int((~examples.catalogue["advertiser_id"].isin(catalogue_ids)).sum())
        started = time.process_time()
        fitted = source.fit(examples)
        between = time.process_time()
        tables.append(_eligible(fitted.predict(mine, k + gone), catalogue_ids, k))
        each = (time.process_time() - between) / max(len(mine), 1)
        costs[source.name] = {"fit_cpu_seconds": between - started, "cpu_seconds_per_1000_users": 1000 * each}
        progress(done, len(sources), "sources")
    tables.append(placebo(llm, mine, rng))
    return pd.concat(tables, ignore_index=True), costs


def _eligible(predictions: pd.DataFrame, catalogue_ids: np.ndarray, k: int) -> pd.DataFrame:
    """The first k predictions of each user that name an eligible advertiser, ranked anew."""
    kept = predictions[predictions["advertiser_id"].isin(catalogue_ids)].copy()
    kept["rank"] = kept.groupby("user_id", sort=False).cumcount() + 1
    return kept[kept["rank"] <= k]
