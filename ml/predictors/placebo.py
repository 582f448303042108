"""placebo: another user's predictions. Real rows, real probabilities, nothing about this user.

The predictions of a source are shuffled among users with about as many conversions in their stream. It
should reach about popularity's recall, and give a ranker nothing: if it helps, the gain is not knowledge
of the user.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from ml.contexts.stream import UserContexts
from ml.errors import BadInput
from ml.predictors.predictions import COLUMNS

SOURCE = "placebo"


def placebo(predictions: pd.DataFrame, contexts: UserContexts, rng: np.random.Generator) -> pd.DataFrame:
    """Predictions of one day, shuffled among users of the same history length; nobody keeps his own.

    History length is the number of conversions in the stream, in classes 0, 1, 2-3, 4-7, 8-15, ... A class
    with one user only joins the next shorter one (or, if there is none, the next longer one).

    Args:
        predictions: a table of `ml.predictors.predictions`: one source, the day of `contexts`.
        contexts: the users' streams; may hold more users.
        rng: draws the shuffle.

    Returns:
        The same table with source "placebo", ascending by user and rank.

    Raises:
        BadInput: predictions of several sources, of another day, of unknown users, or of a single user.
    """
    if predictions.empty:
        return predictions.assign(source=SOURCE)[COLUMNS]
    _check(predictions, contexts)
    codes, users = pd.factorize(predictions["user_id"], sort=True)
    givers = _givers(_history_class(pd.Index(users), contexts), rng)
    receiver = np.empty(len(users), dtype=np.int64)
    receiver[givers] = np.arange(len(users))
    shuffled = predictions.assign(user_id=np.asarray(users)[receiver[codes]], source=SOURCE)
    return shuffled.sort_values(["user_id", "rank"], kind="stable", ignore_index=True)[COLUMNS]


def _check(predictions: pd.DataFrame, contexts: UserContexts) -> None:
    where = "predictions given to the placebo"
    days = set(pd.to_datetime(predictions["day"]).dt.date)
    if days != {contexts.as_of}:
        raise BadInput(f"days {sorted(days)}", where=where, remedy=f"pass predictions of {contexts.as_of} only")
    if len(sources := set(predictions["source"])) > 1:
        raise BadInput(f"sources {sorted(sources)}", where=where, remedy="pass one source")
    if unknown := sorted(set(predictions["user_id"]) - set(contexts.user_ids)):
        raise BadInput(
            f"users without context, such as {unknown[:3]}", where=where, remedy="pass the same users' contexts"
        )
    if predictions["user_id"].nunique() < 2:
        raise BadInput("a single user", where=where, remedy="a shuffle needs two users or more")


def _history_class(users: pd.Index, contexts: UserContexts) -> np.ndarray:
    """Class of each user's number of conversions: 0, 1, 2-3, 4-7, ... as 0, 1, 2, 3, ..."""
    conversions = np.bincount(contexts.conversions()["user"], minlength=len(contexts))
    count = conversions[pd.Index(contexts.user_ids).get_indexer(users)]
    return np.where(count > 0, np.floor(np.log2(np.maximum(count, 1))) + 1, 0).astype(np.int64)


def _givers(history_class: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each user the one whose predictions he gets: one random cycle through each class."""
    order = rng.permutation(len(history_class))
    order = order[np.argsort(history_class[order], kind="stable")]
    starts = np.flatnonzero(np.diff(history_class[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    # A class of one joins the class before it; the first one the class after it.
    joins = ends - starts == 1
    joins[0] = False
    if ends[0] == 1 and len(starts) > 1:
        joins[1] = True
    givers = np.empty_like(order)
    bounds = np.append(starts[~joins], len(order))
    for first, end in pairwise(bounds):
        givers[order[first:end]] = np.roll(order[first:end], 1)
    return givers
