"""Fits and runs every cheap source for the users the LLM was run for, so that all are compared on the same people."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.base import AdvertiserPredictor
from ml.predictors.blend import BlendSettings
from ml.predictors.control_blends import ControlBlends, choose_blends
from ml.predictors.fold import Fold
from ml.predictors.placebo import placebo
from ml.predictors.popularity import Popularity
from ml.predictors.registry import BaselineSettings, baselines
from ml.progress import Progress, silent


@dataclass(frozen=True)
class Blending:
    """What blends are chosen by: the training's validation fold, and what the LLM said at its predictor cutoff."""

    fold: Fold
    past: pd.DataFrame
    settings: BlendSettings

    def choose(self, fitted: Mapping[str, AdvertiserPredictor]) -> ControlBlends:
        """See `ml.predictors.control_blends.choose_blends`."""
        popularity = Popularity().fit(self.fold.examples).shares
        return choose_blends(fitted, self.fold, self.past, popularity, self.settings)


def predict_controls(
    examples: TrainingExamples,
    contexts: UserContexts,
    llm: pd.DataFrame,
    catalogue_ids: np.ndarray,
    settings: BaselineSettings,
    blending: Blending | None = None,
    *,
    k: int,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions of all cheap sources, of the placebo, and of blends.

    Args:
        examples: what they are fitted on: all training users, whatever sample the LLM got.
        contexts: the day's contexts.
        llm: the LLM's predictions of that day; its users are the ones predicted for.
        catalogue_ids: advertisers eligible on the day; one that has left since the training cutoff is no prediction.
        settings: of each source.
        blending: what blends are chosen by; None: there are none.
        k: advertisers a user.
        rng: draws the placebo's shuffle.

    Returns:
        A table of `ml.predictors.predictions` with one source after another; and facts: `costs` by source
        (`train_users`, `fit_cpu_seconds`, `cpu_seconds_per_1000_users`), and `blends` (see
        `ml.predictors.control_blends`).
    """
    mine = contexts.take(np.flatnonzero(np.isin(contexts.user_ids, llm["user_id"].unique())))
    tables, costs, everything = [], {}, {}
    sources = baselines(settings)
    gone = int((~examples.catalogue["advertiser_id"].isin(catalogue_ids)).sum())
    for done, source in enumerate(sources, start=1):
        started = time.process_time()
        fitted = everything[source.name] = source.fit(examples)
        between = time.process_time()
        tables.append(eligible(fitted.predict(mine, k + gone), catalogue_ids, k))
        each = (time.process_time() - between) / max(len(mine), 1)
        costs[source.name] = {
            "train_users": len(examples.contexts),
            "fit_cpu_seconds": between - started,
            "cpu_seconds_per_1000_users": 1000 * each,
        }
        progress(done, len(sources), "sources")
    tables.append(placebo(llm, mine, rng))
    facts: dict[str, Any] = {"costs": costs, "blends": {}}
    if blending is not None:
        blends = blending.choose(everything)
        facts["blends"] = blends.facts
        tables += [
            eligible(blend.predict(mine, k + gone), catalogue_ids, k)
            for blend in blends.sources(everything, llm, contexts)
        ]
    return pd.concat(tables, ignore_index=True), facts


def eligible(predictions: pd.DataFrame, catalogue_ids: np.ndarray, k: int) -> pd.DataFrame:
    """The first k predictions of each user that name an eligible advertiser, ranked anew."""
    kept = predictions[predictions["advertiser_id"].isin(catalogue_ids)].copy()
    kept["rank"] = kept.groupby("user_id", sort=False).cumcount() + 1
    return kept[kept["rank"] <= k]
