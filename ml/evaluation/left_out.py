"""Leave-advertisers-out: what a source says of advertisers that were never a target of its training.

    fewer, left_out = leave_out(examples, share=0.1, rng=rng)        # train on `fewer`
    rows, column = of_left_out(labels, left_out, catalogue)          # judge users who convert with one of `left_out`
    judge_left_out({"llm": scores, **references}, catalogue, column, rng=rng)

A left-out advertiser stays in the catalogue and, as text, in histories; only as an answer it was never seen.
References, each ranking the whole catalogue unless said otherwise; the chances are exact, nothing is drawn:

    random_of_vertical   the target's vertical is given away, its n advertisers in random order: min(k, n) / n
    random               any order of the catalogue: min(k, n_advertisers) / n_advertisers
    text_neighbour       advertisers by the cosine of their text to the mean text of the user's past advertisers
    past_count           advertisers by the conversions in all histories, those of the left-out ones among them

Intervals are over users: they say how sure the figure is for these left-out advertisers, not for others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.evaluation.bootstrap import EvaluationSettings, Resamples, evaluate, ratio_of_sums
from ml.evaluation.ranked import ranks_in_matrix
from ml.evaluation.results import Evaluation, Interval
from ml.predictors.histories import columns_of, read_histories

LLM = "llm"


@dataclass(frozen=True)
class LeftOutStudy:
    """The source named LLM and the references on the users whose target is a left-out advertiser."""

    evaluation: Evaluation
    """recall@k of every arm; LLM minus each other, paired."""
    times_vertical: Interval
    """LLM's recall over that of `random_of_vertical`."""


def leave_out(
    examples: TrainingExamples, share: float, rng: np.random.Generator
) -> tuple[TrainingExamples, np.ndarray]:
    """Examples without the targets of a random share of the catalogue's advertisers that have any, and their ids.

    Args:
        examples: all examples.
        share: in (0, 1), of the advertisers with a target; at least one is left out.
        rng: draws them.
    """
    ids, catalogue = examples.targets["advertiser_id"], examples.catalogue["advertiser_id"]
    able = np.unique(ids[ids.isin(catalogue)].to_numpy().astype(str))
    chosen = np.sort(rng.permutation(able)[: max(1, round(share * len(able)))])
    kept = ~ids.isin(chosen)
    targets = examples.targets[kept].reset_index(drop=True)
    return TrainingExamples(examples.contexts, targets, examples.catalogue), chosen


def random_of_vertical(catalogue: pd.DataFrame, column: np.ndarray, k: int) -> np.ndarray:
    """Chance that a target is among k advertisers drawn from its own vertical, shape (n,).

    Args:
        catalogue: advertisers with their vertical, in column order.
        column: shape (n,): catalogue row of each target.
    """
    verticals = catalogue["vertical"].fillna("")
    sizes = verticals.map(verticals.value_counts()).to_numpy()[column]
    return np.asarray(np.minimum(k, sizes) / sizes)


def text_neighbours(text: np.ndarray, contexts: UserContexts, catalogue: pd.DataFrame) -> np.ndarray:
    """Scores of all advertisers for each user, shape (n_users, n_advertisers); 0 without a past in the catalogue.

    Args:
        text: embedding of each advertiser's text, shape (n_advertisers, width): the head's e(a).
        contexts: the users' streams.
        catalogue: advertisers in the order of `text`.
    """
    centred = text - text.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    histories = read_histories(contexts, catalogue["advertiser_id"].to_numpy())
    past = histories.weights(histories.whole()) @ unit
    length = np.linalg.norm(past, axis=1, keepdims=True)
    return np.asarray(np.divide(past, length, out=np.zeros_like(past), where=length > 0) @ unit.T)


def past_counts(contexts: UserContexts, catalogue: pd.DataFrame, n_users: int) -> np.ndarray:
    """Scores of all advertisers, the same for each of `n_users`: their conversions in all histories of `contexts`."""
    column = read_histories(contexts, catalogue["advertiser_id"].to_numpy()).column
    counts = np.bincount(column, minlength=len(catalogue)).astype(float)
    return np.broadcast_to(counts, (n_users, len(catalogue)))


def judge_left_out(
    scores: Mapping[str, np.ndarray],
    catalogue: pd.DataFrame,
    column: np.ndarray,
    *,
    rng: np.random.Generator,
    k: int = 10,
    settings: EvaluationSettings | None = None,
) -> LeftOutStudy:
    """Recall@k in the full catalogue, for targets that are left-out advertisers.

    Args:
        scores: LLM and other sources: what ranks the catalogue for each user, shape (n_users, n_advertisers).
        catalogue: advertisers in column order.
        column: shape (n_users,): catalogue row of each user's target.
        rng: draws the resamples.
        k: how many advertisers are looked at.
        settings: number of draws.
    """
    found = {name: (ranks_in_matrix(values, column) <= k).astype(float) for name, values in scores.items()}
    vertical = random_of_vertical(catalogue, column, k)
    found |= {"random_of_vertical": vertical, "random": np.full(len(column), min(k / len(catalogue), 1.0))}
    resamples = Resamples(len(column), (settings or EvaluationSettings()).resamples, rng)
    evaluation = evaluate(
        resamples,
        ratio_of_sums(np.stack(list(found.values()), axis=1)[:, :, None], np.ones((len(column), 1, 1))),
        arms=list(found),
        metrics=[f"recall@{k}"],
        pairs=[(LLM, other) for other in found if other != LLM],
    )
    return LeftOutStudy(evaluation, resamples.interval(ratio_of_sums(found[LLM], vertical)))


def of_left_out(labels: pd.DataFrame, left_out: np.ndarray, catalogue: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the labels that name a left-out advertiser, and its catalogue row for each."""
    rows = np.flatnonzero(labels["advertiser_id"].isin(left_out).to_numpy())
    return rows, columns_of(labels["advertiser_id"].iloc[rows], catalogue["advertiser_id"].to_numpy())
