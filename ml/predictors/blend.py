"""Blends of two sources, stacked on the validation fold: which form of pool, with which weights.

    blend = fit_blend(p_llm, p_ease, fold, BlendSettings())        distributions of the fold's users
    blend.pool.combine(test_llm, test_ease, Pasts.of(test_contexts, advertiser_ids))

A form is judged by cross-validation over users: fitted on the labels of four fifths, recall and log loss on the rest.
The forms are those of `ml.predictors.pooling`. Weights of the least log loss are not those of the best recall: forms
"by recall" take w1 : w2 from a grid and leave only the sum, a temperature, to the likelihood. `z_scores` does so with
log probabilities standardized within each user. `Blended` makes a source of two. Labels outside the catalogue teach
nothing and count as misses. It sees no test window, and gives no intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from ml.artifacts import fingerprint_of
from ml.contexts.stream import TrainingExamples, UserContexts
from ml.errors import BadInput
from ml.predictors.base import AdvertiserPredictor
from ml.predictors.blocks import InBlocks
from ml.predictors.fold import Fold
from ml.predictors.pooling import FORMS, Form, Pasts, Pool, features_of, likeliest_weights, temperature_weight
from ml.predictors.tuning import objective

GRID = np.linspace(0, 1, 11)
"""Weights of the first source that forms "by recall" choose from."""

PAIR_FORM = "pool_by_recall"
"""Form by which pairs are compared where none is set: cheap, and made for what they are judged by."""


class BlendSettings(BaseModel):
    """How two sources are blended."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    form: Literal["auto", "pool", "pool_own", "pool_own_by_length", "pool_by_recall", "z_scores"] = "auto"
    """Form of the pool; `auto` takes the one that cross-validation on the validation fold likes best."""
    judge: Literal["recall", "log_loss"] = "recall"
    """What cross-validation judges by: mean of recall@5, @10 and @20, or log loss of the labels in the catalogue."""
    short_history: int = Field(default=3, ge=0)
    """Conversions up to which a user's history is short."""
    min_users: int = Field(default=200, ge=1)
    """Validation users with a label and the LLM's prediction below which nothing is blended: chance would choose."""
    floor: float = Field(default=1e-4, gt=0, lt=1)
    """Share of the uniform distribution mixed into both sources: a zero of one must not silence the other."""
    splits: int = Field(default=5, ge=2)
    """Parts of the users (by hash of their id) that cross-validation takes out in turn."""


@dataclass(frozen=True)
class Blend:
    """A pool fitted on the validation fold, and how the forms did there in cross-validation.

    Attributes:
        pool: what combines two distributions.
        table: one row a form: form, recall (mean of @5, @10, @20), log_loss (nats), chosen.
    """

    pool: Pool
    table: pd.DataFrame


def fit_blend(first: np.ndarray, second: np.ndarray, fold: Fold, settings: BlendSettings) -> Blend:
    """Choose a form by cross-validation over users, then fit it on all of them.

    Args:
        first, second: distributions of `fold.contexts` over the fold's catalogue, shape (n_labels, n_advertisers).
        fold: the validation fold.
        settings: the form, or `auto`.

    Raises:
        BadInput: a distribution of other users or advertisers, or no label in the catalogue.
    """
    _check(first, second, fold)
    pasts = Pasts.of(fold.contexts, fold.examples.catalogue["advertiser_id"].to_numpy())
    names = list(FORMS) if settings.form == "auto" else [settings.form]
    rows = [{"form": name, **cross_validated(first, second, pasts, fold, FORMS[name], settings)} for name in names]
    table = pd.DataFrame(rows)
    best = int((table["recall"] if settings.judge == "recall" else -table["log_loss"]).to_numpy().argmax())
    table["chosen"] = np.arange(len(table)) == best
    return Blend(fit_pool(first, second, pasts, fold.column, FORMS[names[best]], settings), table)


def fit_pool(
    first: np.ndarray, second: np.ndarray, pasts: Pasts, column: np.ndarray, form: Form, settings: BlendSettings
) -> Pool:
    """A form's weights from the labels of some users.

    Args:
        first, second: shape (n_labels, n_advertisers).
        pasts: of the same users.
        column: shape (n_labels,): catalogue row, -1 outside it.
        form: its features.
        settings: floor and length of a short history.
    """
    features = features_of(form, first, second, pasts, settings.floor)
    long, inside = pasts.length > settings.short_history, column >= 0

    def fitted(mask: np.ndarray) -> np.ndarray:
        some = features if mask.all() else [feature[mask] for feature in features]
        return (_weights_by_recall if form.by_recall else likeliest_weights)(some, column[mask])

    parts = [~long & inside, long & inside] if form.by_length else [inside, inside]
    weights = [fitted(mask) for mask in parts] if form.by_length else [fitted(inside)] * 2
    return Pool(form, np.stack(weights), settings.short_history, settings.floor)


def cross_validated(
    first: np.ndarray, second: np.ndarray, pasts: Pasts, fold: Fold, form: Form, settings: BlendSettings
) -> dict[str, float]:
    """Recall (mean of @5, @10, @20, all labels) and log loss (labels in the catalogue) of users left out of the fit."""
    column = fold.column
    part = pd.util.hash_array(np.asarray(fold.contexts.user_ids, dtype=object), hash_key="blends of a pair")
    combined = np.empty(first.shape)
    for number in range(settings.splits):
        out = part % settings.splits == number
        inner = np.flatnonzero(~out)
        pool = fit_pool(first[inner], second[inner], pasts.take(inner), column[inner], form, settings)
        outer = np.flatnonzero(out)
        combined[outer] = pool.combine(first[outer], second[outer], pasts.take(outer))
    inside = np.flatnonzero(column >= 0)
    log_loss = -float(np.log(np.maximum(combined[inside, column[inside]], 1e-30)).mean())
    return {"recall": objective(combined, column), "log_loss": log_loss}


def best_pair(
    sources: Mapping[str, np.ndarray], fold: Fold, settings: BlendSettings
) -> tuple[tuple[str, str], pd.DataFrame]:
    """The two sources whose blend does best in cross-validation.

    Args:
        sources: name -> distribution of the fold's users.
        fold: the validation fold.
        settings: their form is used for every pair; `auto` compares the pairs with PAIR_FORM.

    Returns:
        The pair, and one row a pair: first, second, recall, log_loss; the best first.

    Raises:
        BadInput: fewer than two sources.
    """
    if len(sources) < 2:
        raise BadInput(f"{len(sources)} source", where="best_pair", remedy="give two or more")
    pasts = Pasts.of(fold.contexts, fold.examples.catalogue["advertiser_id"].to_numpy())
    form = FORMS[PAIR_FORM if settings.form == "auto" else settings.form]
    rows = []
    for one, two in combinations(sources, 2):
        _check(sources[one], sources[two], fold)
        value = cross_validated(sources[one], sources[two], pasts, fold, form, settings)
        rows.append({"first": one, "second": two, **value})
    table = _ordered(pd.DataFrame(rows), settings)
    return (str(table["first"].iloc[0]), str(table["second"].iloc[0])), table


def rank_partners(
    first: np.ndarray, others: Mapping[str, np.ndarray], fold: Fold, settings: BlendSettings
) -> pd.DataFrame:
    """How well a source blends with each of some others in cross-validation.

    Args:
        first: its distribution of the fold's users.
        others: name -> distribution of the same users.
        fold: the validation fold.
        settings: as in `best_pair`.

    Returns:
        One row a partner: source, recall, log_loss; the best first.
    """
    pasts = Pasts.of(fold.contexts, fold.examples.catalogue["advertiser_id"].to_numpy())
    form = FORMS[PAIR_FORM if settings.form == "auto" else settings.form]
    rows = [
        {"source": name, **cross_validated(first, other, pasts, fold, form, settings)} for name, other in others.items()
    ]
    return _ordered(pd.DataFrame(rows), settings)


def _ordered(table: pd.DataFrame, settings: BlendSettings) -> pd.DataFrame:
    """Rows with recall and log_loss, the best by what the settings judge by first."""
    by_recall = settings.judge == "recall"
    column = "recall" if by_recall else "log_loss"
    return table.sort_values(column, ascending=not by_recall, kind="stable", ignore_index=True)


class Blended(InBlocks):
    """Two sources and a pool as one source; keeps `ml.predictors.base.AdvertiserPredictor`.

    Args:
        first, second: sources over one catalogue; fitted ones, or `fit` fits them.
        pool: how they are combined; fitted before on a validation fold, where both were fitted on earlier days.
    """

    def __init__(self, first: AdvertiserPredictor, second: AdvertiserPredictor, pool: Pool) -> None:
        self.first, self.second, self.pool = first, second, pool
        self.name = f"{first.name}+{second.name}"

    def fit(self, examples: TrainingExamples) -> Self:
        """Fit both sources; the pool stays."""
        self.first.fit(examples)
        self.second.fit(examples)
        return self

    @property
    def model_version(self) -> str:  # type: ignore[override]
        """Of both sources and the pool's weights."""
        parts = [self.first.model_version, self.second.model_version, self.pool.weights.tolist(), repr(self.pool.form)]
        return f"{self.name}-{fingerprint_of(parts)}"

    @property
    def advertiser_ids(self) -> np.ndarray:
        return self.first.advertiser_ids

    def probabilities(self, contexts: UserContexts) -> np.ndarray:
        """The pool of both distributions.

        Raises:
            BadInput: the sources were fitted on different catalogues.
        """
        if list(self.first.advertiser_ids) != list(self.second.advertiser_ids):
            raise BadInput("two catalogues", where=self.name, remedy="fit both sources on the same examples")
        pasts = Pasts.of(contexts, self.advertiser_ids)
        return self.pool.combine(self.first.probabilities(contexts), self.second.probabilities(contexts), pasts)


def _weights_by_recall(scores: list[np.ndarray], column: np.ndarray) -> np.ndarray:
    """w and 1 - w of the best recall on the grid (the middle one of equals), times the likeliest factor."""
    values = np.array([objective(w * scores[0] + (1 - w) * scores[1], column) for w in GRID])
    best = np.flatnonzero(values == values.max())
    weight = GRID[best[len(best) // 2]]
    factor = temperature_weight(weight * scores[0] + (1 - weight) * scores[1], column)
    return factor * np.array([weight, 1 - weight])


def _check(first: np.ndarray, second: np.ndarray, fold: Fold) -> None:
    expected = (len(fold.labels), len(fold.examples.catalogue))
    for matrix in (first, second):
        if matrix.shape != expected:
            raise BadInput(
                f"a distribution of shape {matrix.shape}, the fold has {expected}",
                where="blend",
                remedy="predict for fold.contexts with a source fitted on fold.examples",
            )
    if not (fold.column >= 0).any():
        raise BadInput("no label in the catalogue", where="validation fold", remedy="lower min_users")
