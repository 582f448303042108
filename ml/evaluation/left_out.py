"""Leave-advertisers-out: what a source says of advertisers that were never a target of its training.

    fewer, left_out = leave_out(examples, share=0.1, rng=rng)        # train on `fewer`
    ...                                                              # judge users who convert with one of `left_out`

A left-out advertiser stays in the catalogue and, as text, in histories; only as an answer it was never seen.
References, each ranking the whole catalogue unless said otherwise:

    random_of_vertical   the target's vertical is given away, its advertisers in random order: min(k, n) / n
    random               any order of the catalogue: k / n_advertisers
    text_neighbour       advertisers by the cosine of their text to the mean text of the user's past advertisers
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.histories import columns_of, read_histories


def leave_out(
    examples: TrainingExamples, share: float, rng: np.random.Generator
) -> tuple[TrainingExamples, np.ndarray]:
    """Examples without the targets of a random share of the advertisers that have any, and the ids of these.

    Args:
        examples: all examples.
        share: in (0, 1), of the advertisers with a target; at least one is left out.
        rng: draws them.
    """
    able = np.unique(examples.targets["advertiser_id"].to_numpy().astype(str))
    chosen = np.sort(rng.permutation(able)[: max(1, round(share * len(able)))])
    kept = ~examples.targets["advertiser_id"].isin(chosen)
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


def of_left_out(labels: pd.DataFrame, left_out: np.ndarray, catalogue: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the labels that name a left-out advertiser, and its catalogue row for each."""
    rows = np.flatnonzero(labels["advertiser_id"].isin(left_out).to_numpy())
    return rows, columns_of(labels["advertiser_id"].iloc[rows], catalogue["advertiser_id"].to_numpy())
