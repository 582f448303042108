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
) -> tuple[pd.DataFrame, dict[str, float]]:
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
        A table of `ml.predictors.predictions` with one source after another, and seconds by source.
    """
    mine = contexts.take(np.flatnonzero(np.isin(contexts.user_ids, llm["user_id"].unique())))
    tables, seconds = [], {}
    sources = baselines(settings)
    for done, source in enumerate(sources, start=1):
        started = time.monotonic()
        gone = int((~examples.catalogue["advertiser_id"].isin(catalogue_ids)).sum())
        tables.append(_eligible(source.fit(examples).predict(mine, k + gone), catalogue_ids, k))
        seconds[source.name] = round(time.monotonic() - started, 2)
        progress(done, len(sources), "sources")
    tables.append(placebo(llm, mine, rng))
    return pd.concat(tables, ignore_index=True), seconds


def _eligible(predictions: pd.DataFrame, catalogue_ids: np.ndarray, k: int) -> pd.DataFrame:
    """The first k predictions of each user that name an eligible advertiser, ranked anew."""
    kept = predictions[predictions["advertiser_id"].isin(catalogue_ids)].copy()
    kept["rank"] = kept.groupby("user_id", sort=False).cumcount() + 1
    return kept[kept["rank"] <= k]
