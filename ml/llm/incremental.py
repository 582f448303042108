"""Scores a day's users shard by shard, and reads only those whose context has changed since an earlier day.

    <work>/states/shard-000.parquet         user_id, content_hash, state: what the model had read, float32
    <work>/interests/shard-000.parquet      the table of `ml.llm.interests`
    <work>/predictions/shard-000.parquet    the table of `ml.predictors.predictions`; written last

A hidden state depends on the prompt and the model alone (not on who else is read: `ml.llm.shapes`), so a user
with the same content hash keeps it, and a changed catalogue costs one matrix product and no LLM call. Users of several
shards are read together where only few have changed, never more than the largest shard has: a killed run loses no more
than that. It does not know whether the earlier day used the same model: the caller only offers states that did.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.contexts.store import content_hashes
from ml.contexts.stream import UserContexts
from ml.llm.interests import FOLDER as INTERESTS
from ml.llm.predictor import LLMPredictor
from ml.llm.states import STATES, StoredStates, write_states, write_whole
from ml.predictors.predictions import COLUMNS, FOLDER
from ml.progress import Progress, silent


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
    cpu_seconds_per_1000_users: float | None = None
    """Of reading prompts and of making predictions of what was read, as far as this attempt did both; None: it read
    nobody. Time on a GPU is not in it."""


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
    for folder in (STATES, INTERESTS, FOLDER):
        (work / folder).mkdir(parents=True, exist_ok=True)
    shard, day = shard_of(contexts.user_ids, shards), _Day(contexts, StoredStates(earlier))
    numbers = [int(number) for number in np.unique(shard)]
    missing = [number for number in numbers if not (work / FOLDER / _name(number)).exists()]
    done = len(contexts) - int(np.isin(shard, missing).sum())
    clock = _Clock()
    for group in _groups(missing, shard, day.fresh):
        fresh = np.flatnonzero(np.isin(shard, group) & day.fresh)
        read = predictor.hidden_states(contexts.take(fresh))
        clock.lap("read", len(fresh))
        for number in group:
            rows = np.flatnonzero(shard == number)
            mine, states = contexts.take(rows), day.states(rows, fresh, read)
            write_states(work / STATES / _name(number), mine.user_ids, day.hashes[rows], states, day.fresh[rows])
            interests = pa.Table.from_pandas(predictor.interests(states, mine), preserve_index=False)
            write_whole(interests, work / INTERESTS / _name(number))
            table = pa.Table.from_pandas(predictor.table(states, mine, k), preserve_index=False)
            write_whole(table, work / FOLDER / _name(number))
            clock.lap("predict", len(rows))
            done += len(rows)
            progress(done, len(contexts), "users")
    return replace(_collect(work, numbers), cpu_seconds_per_1000_users=clock.per_1000_users)


class _Clock:
    """CPU seconds, of all threads, of the two things done for users."""

    def __init__(self) -> None:
        self.seconds, self.users = {"read": 0.0, "predict": 0.0}, {"read": 0, "predict": 0}
        self._since = time.process_time()

    def lap(self, what: str, users: int) -> None:
        """What was done since the last lap, for some users."""
        now = time.process_time()
        self.seconds[what] += now - self._since
        self.users[what] += users
        self._since = now

    @property
    def per_1000_users(self) -> float | None:
        if not self.users["read"]:
            return None
        return round(1000 * sum(self.seconds[what] / self.users[what] for what in self.users), 4)


def _collect(work: Path, numbers: list[int]) -> Scored:
    """All shards' predictions, and whom this attempt or a killed one before it has read."""
    if not numbers:
        return Scored(pd.DataFrame(columns=COLUMNS), np.empty(0, dtype=object))
    tables = [pd.read_parquet(work / FOLDER / _name(number)) for number in numbers]
    users = [pq.read_table(work / STATES / _name(number), columns=["user_id", "fresh"]) for number in numbers]
    read = [table["user_id"].to_numpy()[table["fresh"].to_numpy()] for table in users]
    predictions = pd.concat(tables).sort_values(["user_id", "rank"], kind="stable", ignore_index=True)
    return Scored(predictions, np.concatenate(read))


def _name(number: int) -> str:
    return f"shard-{number:03d}.parquet"


def _groups(numbers: list[int], shard: np.ndarray, fresh: np.ndarray) -> list[list[int]]:
    """Shards whose fresh users are read together: a few users fill no batch, and a kill costs a shard at most.

    Args:
        numbers: shards to score, ascending.
        shard: of each user, shape (n_users,).
        fresh: whose state has to be read, shape (n_users,).
    """
    most = int(np.bincount(shard).max(initial=0))
    waiting = np.bincount(shard[fresh], minlength=int(shard.max(initial=0)) + 1)
    groups: list[list[int]] = []
    size = most
    for number in numbers:
        if size + waiting[number] > most or not groups:
            groups.append([])
            size = 0
        groups[-1].append(number)
        size += int(waiting[number])
    return groups


class _Day:
    """Whose state is stored and whose has to be read."""

    def __init__(self, contexts: UserContexts, stored: StoredStates) -> None:
        self.contexts, self.stored = contexts, stored
        self.hashes = np.array(content_hashes(contexts), dtype=object)
        self.places = stored.find(contexts.user_ids, self.hashes)
        self.fresh: np.ndarray = self.places["file"].isna().to_numpy()

    def states(self, rows: np.ndarray, fresh: np.ndarray, read: np.ndarray) -> np.ndarray:
        """States of some users, shape (n, hidden): read just now, or stored.

        Args:
            rows: the users.
            fresh: the users who have been read just now, ascending.
            read: their states, shape (n_fresh, hidden).
        """
        states = np.empty((len(rows), read.shape[1]), dtype=np.float32)
        mine, places = self.fresh[rows], self.places.iloc[rows].reset_index(drop=True)
        states[mine] = read[np.searchsorted(fresh, rows[mine])]
        for file, part in places[~mine].astype(int).groupby("file"):
            states[part.index] = self.stored.read(int(str(file)), part["row"].to_numpy())
        return states
