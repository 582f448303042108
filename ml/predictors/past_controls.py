"""What the sources without a language model, and the blends, would have said at past snapshots: priors of other arms.

The ranker's arms differ in whose priors they have and in nothing else, so each source speaks at the same snapshots, for
the same users, with as many advertisers as the LLM. All are fitted once, at the predictor cutoff, as the LLM is.
Settings and weights come from the label window after it, which the ranker's first training rows lie in: a handful of
numbers, none of which has seen the calibration or test window. It knows neither rankers nor impressions.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import TrainingExamples
from ml.lake import Lake
from ml.predictors.base import AdvertiserPredictor
from ml.predictors.catalogue import build_catalogue
from ml.predictors.controls import Blending, eligible
from ml.predictors.registry import BaselineSettings, baselines
from ml.progress import Progress, silent


def predict_past_controls(
    examples: TrainingExamples,
    lake: Lake,
    llm: pd.DataFrame,
    settings: BaselineSettings,
    blending: Blending,
    contexts: ContextSettings,
    *,
    min_users: int,
    k: int,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Predictions of every source and blend at each snapshot that the LLM spoke at.

    Args:
        examples: all training users at the predictor cutoff.
        lake: validated logs.
        llm: the LLM's past predictions; its days and, on each, its users are those predicted for.
        settings: of each source.
        blending: what blends are chosen by.
        contexts: of the contexts.
        min_users: of the catalogue, see `build_catalogue`.
        k: advertisers a user.
        progress: told the sources fitted and then the snapshots done.

    Returns:
        A table of `ml.predictors.predictions`, one source after another at one snapshot after another.
    """
    sources = baselines(settings)
    days = sorted(pd.to_datetime(llm["day"]).dt.date.unique())
    fitted: dict[str, AdvertiserPredictor] = {}
    total = len(sources) + len(days)
    for done, source in enumerate(sources, start=1):
        fitted[source.name] = source.fit(examples)
        progress(done, total, "sources and snapshots")
    blends = blending.choose(fitted)
    tables = []
    for done, day in enumerate(days, start=len(sources) + 1):
        said = llm[pd.to_datetime(llm["day"]).dt.date == day]
        everyone = build_contexts(lake, day, contexts)
        mine = everyone.take(np.flatnonzero(np.isin(everyone.user_ids, said["user_id"].unique())))
        ids = _catalogue_ids(lake, day, min_users)
        gone = int((~examples.catalogue["advertiser_id"].isin(ids)).sum())
        blended = blends.sources(fitted, said, everyone)
        predicted = [source.predict(mine, k + gone) for source in fitted.values()]
        predicted += [blend.predict(mine, k + gone) for blend in blended]
        tables += [eligible(table, ids, k) for table in predicted]
        progress(done, total, "sources and snapshots")
    return pd.concat(tables, ignore_index=True)


def _catalogue_ids(lake: Lake, day: date, min_users: int) -> np.ndarray:
    with lake.connect(as_of=day) as con:
        return build_catalogue(con, day, min_users=min_users)["advertiser_id"].to_numpy()
