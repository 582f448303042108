"""Predicting for many users shard by shard, so that a killed run goes on where it stopped.

    <work>/predictions/shard-000.parquet ...     users by a hash of their id, each file written atomically

A user's shard depends on nothing but the id and the number of shards. It does not publish, and it trusts
the shards it finds: the caller's work directory is bound to a fingerprint of model and contexts.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from ml.contexts.stream import UserContexts
from ml.predictors.base import AdvertiserPredictor
from ml.predictors.predictions import COLUMNS
from ml.progress import Progress, silent

FOLDER = "predictions"


def shard_of(user_ids: np.ndarray, shards: int) -> np.ndarray:
    """Shard of each user, shape (n_users,): a hash that is the same in every process and release."""
    return np.array([zlib.crc32(str(user).encode()) % shards for user in user_ids], dtype=np.int64)


def predict_in_shards(
    predictor: AdvertiserPredictor,
    contexts: UserContexts,
    k: int,
    work: Path,
    *,
    shards: int = 16,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Predictions for all users, by way of one Parquet file a shard.

    Args:
        predictor: fitted.
        contexts: whose advertisers to predict.
        k: rows a user.
        work: directory of this attempt; shards that an earlier attempt finished are kept.
        shards: how many; a kill loses at most one shard's work. Shards without users leave no file.
        progress: told the users done.

    Returns:
        All predictions, ascending by user_id and rank. RangeIndex.
    """
    folder = work / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    mine = shard_of(contexts.user_ids, shards)
    tables, done = [], 0
    for shard in range(shards):
        rows = np.flatnonzero(mine == shard)
        if not len(rows):
            continue
        path = folder / f"shard-{shard:03d}.parquet"
        if not path.exists():
            temporary = path.with_name(f".{path.name}.tmp")
            predictor.predict(contexts.take(rows), k).to_parquet(temporary, index=False)
            temporary.replace(path)
        tables.append(pd.read_parquet(path))
        done += len(rows)
        progress(done, len(contexts), "users")
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(tables).sort_values(["user_id", "rank"], kind="stable", ignore_index=True)
