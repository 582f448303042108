"""Scores a day's users shard by shard, and reads only those whose context has changed since an earlier day.

    <work>/states/shard-000.parquet         user_id, content_hash, state: what the model had read, float32
    <work>/predictions/shard-000.parquet    the table of `ml.predictors.predictions`

A hidden state depends on the prompt and the model alone, so a user with the same content hash keeps it, and a changed
catalogue costs one matrix product and no LLM call. A killed run loses at most one shard. It does not know whether the
earlier day used the same model: the caller only offers states that did.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.contexts.store import content_hashes
from ml.contexts.stream import UserContexts
from ml.llm.predictor import LLMPredictor
from ml.predictors.predictions import COLUMNS, FOLDER
from ml.progress import Progress, silent

STATES = "states"


def shard_of(user_ids: np.ndarray, shards: int) -> np.ndarray:
    """Shard of each user, shape (n_users,): a hash that is the same in every process and release."""
    return np.array([zlib.crc32(str(user).encode()) % shards for user in user_ids], dtype=np.int64)


@dataclass(frozen=True)
class Scored:
    """A day's predictions and what they cost."""

    predictions: pd.DataFrame
    """Ascending by user_id and rank."""
    read: np.ndarray
    """Ids of the users whose prompt was read; the others' states were taken over."""


def score_changed(
    predictor: LLMPredictor,
    contexts: UserContexts,
    k: int,
    work: Path,
    *,
    shards: int,
    earlier: Path | None = None,
    progress: Progress = silent,
) -> Scored:
    """Predictions for all users; the model reads those whose state `earlier` does not hold.

    Args:
        predictor: loaded, over the day's catalogue.
        contexts: whose advertisers to predict.
        k: rows a user.
        work: directory of this attempt; shards that a killed attempt finished are kept.
        shards: how many.
        earlier: what this function wrote for another day with the very same model.
        progress: told the users done.
    """
    for folder in (STATES, FOLDER):
        (work / folder).mkdir(parents=True, exist_ok=True)
    stored, hashes = _Stored(earlier), content_hashes(contexts)
    shard, tables, read, done = shard_of(contexts.user_ids, shards), [], [], 0
    for number in range(shards):
        rows = np.flatnonzero(shard == number)
        if not len(rows):
            continue
        name = f"shard-{number:03d}.parquet"
        if not (work / FOLDER / name).exists():
            mine, marks = contexts.take(rows), [hashes[row] for row in rows]
            states, fresh = _states(predictor, mine, marks, stored)
            _write(_states_table(mine.user_ids, marks, states, fresh), work / STATES / name)
            _write(pa.Table.from_pandas(predictor.table(states, mine, k), preserve_index=False), work / FOLDER / name)
        tables.append(pd.read_parquet(work / FOLDER / name))
        users = pq.read_table(work / STATES / name, columns=["user_id", "fresh"])
        read.append(users["user_id"].to_numpy()[users["fresh"].to_numpy()])
        done += len(rows)
        progress(done, len(contexts), "users")
    if not tables:
        return Scored(pd.DataFrame(columns=COLUMNS), np.empty(0, dtype=object))
    predictions = pd.concat(tables).sort_values(["user_id", "rank"], kind="stable", ignore_index=True)
    return Scored(predictions, np.concatenate(read))


class _Stored:
    """Where the states of an earlier day lie, by user and content hash; the states themselves stay on disk."""

    def __init__(self, directory: Path | None) -> None:
        self.files = sorted((directory / STATES).glob("*.parquet")) if directory else []
        parts = [pq.read_table(path, columns=["user_id", "content_hash"]).to_pandas() for path in self.files]
        places = [part.assign(file=file, row=np.arange(len(part))) for file, part in enumerate(parts)]
        empty = pd.DataFrame(columns=["user_id", "content_hash", "file", "row"])
        self.places = pd.concat(places or [empty], ignore_index=True).set_index(["user_id", "content_hash"])

    def find(self, user_ids: np.ndarray, hashes: list[str]) -> pd.DataFrame:
        """Columns file and row, one row a user; null where there is no state of this very context."""
        found: pd.DataFrame = self.places.reindex(pd.MultiIndex.from_arrays([user_ids, hashes]))
        return found.reset_index(drop=True)

    def read(self, file: int, rows: np.ndarray) -> np.ndarray:
        """Some states of one file, shape (n, hidden)."""
        column = pq.read_table(self.files[file], columns=["state"])["state"].combine_chunks()
        values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)[rows]
        return values


def _states(
    predictor: LLMPredictor, contexts: UserContexts, hashes: list[str], stored: _Stored
) -> tuple[np.ndarray, np.ndarray]:
    """States of the users, shape (n, hidden), and which of them were read now, shape (n,)."""
    places = stored.find(contexts.user_ids, hashes)
    fresh = places["file"].isna().to_numpy()
    read = predictor.hidden_states(contexts.take(np.flatnonzero(fresh)))
    states = np.empty((len(places), read.shape[1]), dtype=np.float32)
    states[fresh] = read
    for file, part in places[~fresh].astype(int).groupby("file"):
        states[part.index] = stored.read(int(str(file)), part["row"].to_numpy())
    return states, fresh


def _states_table(user_ids: np.ndarray, hashes: list[str], states: np.ndarray, fresh: np.ndarray) -> pa.Table:
    column = pa.FixedSizeListArray.from_arrays(pa.array(states.ravel(), pa.float32()), states.shape[1])
    columns = [pa.array(user_ids, pa.string()), pa.array(hashes, pa.string()), column, pa.array(fresh, pa.bool_())]
    return pa.table(columns, names=["user_id", "content_hash", "state", "fresh"])


def _write(table: pa.Table, path: Path) -> None:
    # Split into byte streams, float32 that were computed in bf16 lose half their bytes to compression.
    split = [f"{name}.list.element" for name in table.column_names if name == "state"]
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression="zstd", use_byte_stream_split=split or False, use_dictionary=not split)
    temporary.replace(path)
