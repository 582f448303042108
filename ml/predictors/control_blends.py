"""Two blends for the comparison: of the LLM with the source that helps it most, and the best of two other sources.

Both are chosen and stacked on the validation fold of the training (`ml.evaluation.validation`), from predictions made
there: the LLM's are those it gave at the predictor cutoff (`ml.predictors.past`), the others are asked anew. It says
nothing of how good they are afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
from ml.predictors.prior_shift import PriorShift, Shifted, fit_prior_shift, log_shifts

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
        corrections: by source, for what everybody has converted with lately.
        facts: validation users, pair and form of each blend, and recall of every pair and partner in cross-validation.
    """

    pools: list[tuple[str, str, Pool]]
    ids: np.ndarray
    popularity: np.ndarray
    corrections: dict[str, PriorShift]
    facts: dict[str, Any]

    def sources(
        self, fitted: Mapping[str, AdvertiserPredictor], llm: pd.DataFrame, contexts: UserContexts
    ) -> list[Blended]:
        """The blends as sources of one day.

        Args:
            fitted: the sources they are made of, by name.
            llm: the LLM's predictions of the day.
            contexts: everybody's streams of the day.
        """
        parts = {**fitted, LLM: FromTable(llm, self.ids, self.popularity)}
        shifts = log_shifts(contexts, self.ids) if self.pools else {}
        shifted = {name: Shifted(parts[name], correction, shifts) for name, correction in self.corrections.items()}
        return [Blended(shifted[first], shifted[second], pool) for first, second, pool in self.pools]


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
        return ControlBlends([], ids, popularity, {}, facts)
    parts = {**fitted, LLM: FromTable(past, ids, popularity)}
    shifts = log_shifts(fold.examples.contexts, ids)
    raw = {name: source.probabilities(fold.contexts) for name, source in parts.items()}
    corrections = {name: fit_prior_shift(p, fold.column, shifts) for name, p in raw.items()}
    said = {name: corrections[name].apply(p, shifts) for name, p in raw.items()}
    llm = said.pop(LLM)
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
    pools = [(LLM, partner, mixed.pool), (*pair, others.pool)]
    used = {name for first, second, _ in pools for name in (first, second)}
    corrections = {name: correction for name, correction in corrections.items() if name in used}
    facts["prior_shifts"] = {name: asdict(correction) for name, correction in corrections.items()}
    return ControlBlends(pools, ids, popularity, corrections, facts)
