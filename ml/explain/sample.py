"""A few users that have everything an explanation shows: user ids are personal, so nobody should have to guess them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ml.contexts.labels import test_labels
from ml.contexts.store import read_columns
from ml.explain.published import Published
from ml.lake import Lake
from ml.predictors.predictions import FOLDER
from ml.timeline import Timeline


def sample_users(
    published: Published, lake: Lake, timeline: Timeline, n: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Up to `n` consenting users with a context, predictions of every source, and candidates.

    Returns:
        user_id, n_events, n_conversions, has_outcome (did they convert in the label window; False while it is
        open); those with an outcome first.
    """
    if not (published.contexts and published.predictions and published.candidates):
        return pd.DataFrame(columns=["user_id", "n_events", "n_conversions", "has_outcome"])
    users = read_columns(published.contexts / "contexts", ["user_id", "n_events", "n_conversions"])
    sets = [made / FOLDER for made in (published.predictions, published.controls) if made]
    for path in [*sets, published.candidates / "candidates.parquet"]:
        users = users[users["user_id"].isin(pq.read_table(path, columns=["user_id"])["user_id"].unique().to_pylist())]
    with lake.connect() as con:
        consenting = con.execute("SELECT user_id FROM users WHERE consent").df()["user_id"]
    users = users[users["user_id"].isin(consenting)]
    last = max(lake.days("conversions"), default=timeline.as_of)
    labelled = test_labels(lake, timeline)["user_id"] if timeline.test_closes <= last else pd.Series([], dtype=object)
    users = users.assign(has_outcome=users["user_id"].isin(labelled))
    drawn = users.iloc[rng.permutation(len(users))]
    return drawn.sort_values("has_outcome", ascending=False, kind="stable").head(n).reset_index(drop=True)
