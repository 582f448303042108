"""Two blends for the comparison: of the LLM with the source that helps it most, and the best of two other sources.

Both are chosen and stacked on the validation fold of the training (`ml.evaluation.validation`), from predictions made
there: the LLM's are those it gave at the predictor cutoff (`ml.predictors.past`), the others are asked anew. It says
nothing of how good they are afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.base import AdvertiserPredictor
from ml.predictors.blend import Blended, BlendSettings, best_pair, fit_blend, rank_partners
from ml.predictors.blocks import InBlocks
from ml.predictors.dense import dense
from ml.predictors.fold import Fold
from ml.predictors.pooling import Pool

LLM = "llm"


class FromTable(InBlocks):
    """Predictions at hand as a source: what a table of the k likeliest says, the rest spread by popularity.

    Args:
        predictions: of one source and day, see `ml.predictors.predictions`; advertisers of no column are left out.
        advertiser_ids: shape (n_advertisers,).
        popularity: shape (n_advertisers,), positive.
    """

    def __init__(self, predictions: pd.DataFrame, advertiser_ids: np.ndarray, popularity: np.ndarray) -> None:
        self.table = predictions[predictions["advertiser_id"].isin(advertiser_ids)]
        self.name = str(predictions["source"].iloc[0])
        self.model_version = str(predictions["model_version"].iloc[0])
        self.ids, self.popularity = advertiser_ids, popularity

    @property
    def advertiser_ids(self) -> np.ndarray:
        return self.ids

    def fit(self, examples: TrainingExamples) -> FromTable:
        """Nothing to fit."""
        return self

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """See `ml.predictors.dense.dense`."""
        return dense(self.table, contexts.user_ids, self.ids, self.popularity)


@dataclass(frozen=True)
class ControlBlends:
    """Which blends were chosen, and how.

    Attributes:
        pools: the LLM's blend and the others', in this order: first source, second source, what combines them; empty
            where too few users tell.
        ids: shape (n_advertisers,), the fold's catalogue.
        popularity: shape (n_advertisers,).
        facts: validation users, pair and form of each blend, and recall of every pair and partner in cross-validation.
    """

    pools: list[tuple[str, str, Pool]]
    ids: np.ndarray
    popularity: np.ndarray
    facts: dict[str, Any]

    def sources(self, fitted: Mapping[str, AdvertiserPredictor], llm: pd.DataFrame) -> list[Blended]:
        """The blends as sources of one day.

        Args:
            fitted: the sources they are made of, by name.
            llm: the LLM's predictions of the day.
        """
        parts = {**fitted, LLM: FromTable(llm, self.ids, self.popularity)}
        return [Blended(parts[first], parts[second], pool) for first, second, pool in self.pools]


def choose_blends(
    fitted: Mapping[str, AdvertiserPredictor],
    fold: Fold,
    past: pd.DataFrame,
    popularity: np.ndarray,
    settings: BlendSettings,
) -> ControlBlends:
    """Choose and stack both blends.

    Args:
        fitted: sources fitted on `fold.examples`, by name.
        fold: the validation fold.
        past: the LLM's predictions at the predictor cutoff; only its users count.
        popularity: shape (n_advertisers,), of the fold's catalogue.
        settings: of blends; `min_users` of them must have a label and a prediction.
    """
    fold = fold.take(np.flatnonzero(fold.labels["user_id"].isin(past["user_id"]).to_numpy()))
    ids = fold.examples.catalogue["advertiser_id"].to_numpy()
    facts: dict[str, Any] = {"validation_users": len(fold.labels)}
    if len(fold.labels) < settings.min_users or not (fold.column >= 0).any():
        return ControlBlends([], ids, popularity, facts)
    said = {name: source.probabilities(fold.contexts) for name, source in fitted.items()}
    llm = FromTable(past, ids, popularity).probabilities(fold.contexts)
    pair, pairs = best_pair(said, fold, settings)
    partners = rank_partners(llm, said, fold, settings)
    partner = str(partners["source"].iloc[0])
    mixed = fit_blend(llm, said[partner], fold, settings)
    others = fit_blend(said[pair[0]], said[pair[1]], fold, settings)
    facts |= {
        "partners": partners.to_dict("records"),
        "pairs": pairs.to_dict("records"),
        "forms": {
            f"{LLM}+{partner}": mixed.table.to_dict("records"),
            f"{pair[0]}+{pair[1]}": others.table.to_dict("records"),
        },
    }
    return ControlBlends([(LLM, partner, mixed.pool), (*pair, others.pool)], ids, popularity, facts)
