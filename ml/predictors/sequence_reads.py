"""Reads of the training streams: where the sequence network reads, and the targets it should find there.

Targets of one user that are read at one position on one day share a read. A read happens when the target's UTC day
begins: by then every event before `position` is known, and nothing of the target's own day is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.contexts.stream import TrainingExamples
from ml.predictors.histories import columns_of, days_since_1970
from ml.predictors.sequence_tokens import Tokens


@dataclass(frozen=True)
class Reads:
    """Where to read, and what should be found there.

    Attributes:
        user, position: shape (n_reads,).
        age: shape (n_reads,), see `age_of`.
        starts: shape (n_reads + 1,): targets of read i are column[starts[i]:starts[i + 1]].
        column: shape (n_targets,): catalogue row.
        weight: shape (n_targets,): of its loss.
    """

    user: np.ndarray
    position: np.ndarray
    age: np.ndarray
    starts: np.ndarray
    column: np.ndarray
    weight: np.ndarray

    def take(self, mask: np.ndarray) -> Reads:
        """Some of the reads (a mask) with their targets."""
        counts = np.diff(self.starts)
        mine = np.repeat(mask, counts)
        starts = np.concatenate([[0], np.cumsum(counts[mask])])
        return Reads(self.user[mask], self.position[mask], self.age[mask], starts, self.column[mine], self.weight[mine])


def reads_of(examples: TrainingExamples, tokens: Tokens, half_life_days: float | None) -> Reads:
    """Every target of the catalogue, once.

    Args:
        examples: streams and targets.
        tokens: the streams in numbers.
        half_life_days: a target that many days before the newest weighs half; None: all weigh 1.
    """
    targets = examples.targets
    column = columns_of(targets["advertiser_id"], examples.catalogue["advertiser_id"].to_numpy())
    day = np.floor(days_since_1970(targets["event_time"])).astype(np.int64)
    keys = np.stack([targets["user"].to_numpy(), targets["position"].to_numpy(), day], axis=1)[column >= 0]
    weight = np.ones(len(day)) if half_life_days is None else np.exp2((day - day.max(initial=0)) / half_life_days)
    found, read = np.unique(keys, axis=0, return_inverse=True)
    read = read.reshape(-1)
    order = np.argsort(read, kind="stable")
    user, position, moment = found.T
    return Reads(
        user=user,
        position=position,
        age=age_of(tokens, user, position, moment),
        starts=np.searchsorted(read[order], np.arange(len(found) + 1)),
        column=column[column >= 0][order],
        weight=weight[column >= 0][order],
    )


def age_of(tokens: Tokens, user: np.ndarray, position: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """log(1 + days from the last event seen to the reading), 0 where none is seen, float32, shape (n_reads,).

    Args:
        tokens: the streams.
        user, position: what is read, shape (n_reads,).
        moment: when, days since 1970, shape (n_reads,).
    """
    seen = np.flatnonzero(position > 0)
    age = np.zeros(len(user), dtype=np.float32)
    last = tokens.day[tokens.offsets[user[seen]] + position[seen] - 1]
    age[seen] = np.log1p(np.maximum(moment[seen] - last, 0.0))
    return age
