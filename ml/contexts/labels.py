"""Labels: the first advertiser each user converts with in the label window of a snapshot day.

This is the one place, with the ranker's and the evaluation's, that reads past `as_of`; nothing that
predicts may import it.
"""

from __future__ import annotations

import hashlib
from datetime import date, timedelta

import numpy as np
import pandas as pd

from ml.contexts.stream import UserContexts
from ml.errors import BadInput
from ml.lake import Lake
from ml.timeline import Timeline, Window, end_of

FIRST_CONVERSIONS = """
    SELECT user_id, advertiser_id, ad_id, event_time, coalesce(known_at, event_time) AS known_at
    FROM conversions SEMI JOIN consenting USING (user_id)
    WHERE event_time >= $opens AND event_time < $closes
    QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY event_time, conversion_id) = 1
    ORDER BY user_id
"""


def test_labels(lake: Lake, timeline: Timeline) -> pd.DataFrame:
    """The label of every user who converted in the label window and consented as of `as_of`.

    Returns:
        Columns user_id, advertiser_id, ad_id (may be null), event_time, known_at; ascending by user_id,
        one row a user. Only conversions known by `timeline.test_closes` count.

    Raises:
        TimelineViolation: a label breaks a rule of the Timeline.
    """
    labels = _first_conversions(lake, timeline.as_of, timeline.test_closes, timeline.test)
    timeline.check_test_labels(labels)
    return labels


def validation_labels(lake: Lake, timeline: Timeline) -> pd.DataFrame:
    """The same for the label window of the predictor cutoff, of users who consented by then.

    Raises:
        TimelineViolation: a label breaks a rule of the Timeline.
    """
    labels = _first_conversions(lake, timeline.predictor_cutoff, timeline.as_of, timeline.validation)
    timeline.check_validation_labels(labels)
    return labels


def _first_conversions(lake: Lake, as_of: date, known_by: date, window: Window) -> pd.DataFrame:
    """First conversion in `window`, as far as known by the end of `known_by`, of users consenting at `as_of`."""
    with lake.connect(as_of=as_of) as con:
        consenting = con.execute("SELECT user_id FROM users WHERE consent").df()
    with lake.connect(as_of=known_by) as con:
        con.register("consenting", consenting)
        opens = end_of(window.first - timedelta(days=1))
        return con.execute(FIRST_CONVERSIONS, {"opens": opens, "closes": end_of(window.last)}).df()


def with_context(labels: pd.DataFrame, contexts: UserContexts) -> pd.DataFrame:
    """The labels of users who have a context (the others were not active, or not known)."""
    return labels[labels["user_id"].isin(contexts.users["user_id"])].reset_index(drop=True)


def new_to_user(contexts: UserContexts, labels: pd.DataFrame) -> np.ndarray:
    """Which labels name an advertiser the user had no conversion with, known by `as_of`.

    Args:
        contexts: streams of the snapshot day, all labelled users among them.
        labels: rows with user_id and advertiser_id.

    Returns:
        Shape (n_labels,), bool.

    Raises:
        BadInput: a labelled user has no context, so nobody knows what is new to them.
    """
    if len(with_context(labels, contexts)) < len(labels):
        raise BadInput(
            "labels of users without a context",
            where="labels given to new_to_user",
            remedy="keep the labels that have one: with_context(labels, contexts)",
        )
    past = contexts.conversions()
    known = pd.MultiIndex.from_arrays([contexts.user_ids[past["user"].to_numpy()], past["advertiser_id"].to_numpy()])
    return ~pd.MultiIndex.from_frame(labels[["user_id", "advertiser_id"]]).isin(known)


def eligible_users(contexts: UserContexts, min_conversions: int) -> np.ndarray:
    """Rows of the users with at least this many conversions in their stream, ascending."""
    counts = np.bincount(contexts.conversions()["user"].to_numpy(), minlength=len(contexts))
    return np.flatnonzero(counts >= min_conversions)


def stable_sample(user_ids: np.ndarray, most: int | None, seed: int) -> np.ndarray:
    """Rows of up to `most` users, ascending: those whose hashed id comes first.

    A user who is in it stays in it from day to day, unless new ones hash before him: drawn by position, each day's
    sample would be another one and nothing could be taken over from the day before.
    """
    if most is None or len(user_ids) <= most:
        return np.arange(len(user_ids))
    marks = [hashlib.blake2b(f"{seed}/{user}".encode(), digest_size=8).digest() for user in user_ids]
    return np.sort(np.argsort(np.array(marks), kind="stable")[:most])


test_labels.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would take for a test
