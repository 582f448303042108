"""A dense distribution out of a table of the k likeliest advertisers: blends then work where only tables are kept."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.errors import BadInput
from ml.predictors.histories import columns_of


def dense(
    predictions: pd.DataFrame,
    user_ids: np.ndarray,
    advertiser_ids: np.ndarray,
    popularity: np.ndarray | None = None,
) -> np.ndarray:
    """What a table says, and the mass it does not give away spread over the advertisers it does not name.

    Args:
        predictions: a table of `ml.predictors.predictions` of one source and day; other users are ignored.
        user_ids: shape (n_users,); one without rows gets `popularity`.
        advertiser_ids: shape (n_advertisers,), columns.
        popularity: shape (n_advertisers,), positive: the remaining mass is spread in proportion to it, evenly if None.

    Returns:
        float64, shape (n_users, n_advertisers); rows sum to 1.

    Raises:
        BadInput: an advertiser that is no column, or one twice for a user (two sources, two days).
    """
    shares = np.full(len(advertiser_ids), 1.0) if popularity is None else np.asarray(popularity, dtype=np.float64)
    row = np.asarray(pd.Index(user_ids).get_indexer(pd.Index(predictions["user_id"])))
    mine = predictions[row >= 0]
    row, column = row[row >= 0], columns_of(mine["advertiser_id"], advertiser_ids)
    if (column < 0).any():
        unknown = sorted(set(mine["advertiser_id"][column < 0]))[:3]
        raise BadInput(f"advertisers such as {unknown}", where="predictions", remedy="use the catalogue of that day")
    if pd.Series(row * len(advertiser_ids) + column).duplicated().any():
        raise BadInput("an advertiser twice for one user", where="predictions", remedy="pass one source and one day")
    named = np.zeros((len(user_ids), len(advertiser_ids)))
    named[row, column] = mine["probability"].to_numpy()
    others = np.tile(shares, (len(user_ids), 1))
    others[row, column] = 0.0
    rest = np.maximum(1.0 - named.sum(axis=1, keepdims=True), 0.0)
    total = others.sum(axis=1, keepdims=True)
    filled = named + np.divide(others, total, out=np.zeros_like(others), where=total > 0) * rest
    return np.asarray(filled / filled.sum(axis=1, keepdims=True))
