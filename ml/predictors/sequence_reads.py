"""Reads of the training streams: where the sequence network reads, and the targets it should find there.

Targets of one user that are read at one position share a read. It sees nothing of the target's own UTC day. How long
after the last event the read happens is not told to the network: a training read happens on the day of a conversion, a
forecast some time before one, and with that feature amazon14's recall@10 was .285 where it is .305 without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.contexts.stream import TrainingExamples
from ml.predictors.histories import columns_of, days_since_1970


@dataclass(frozen=True)
class Reads:
    """Where to read, and what should be found there.

    Attributes:
        user, position: shape (n_reads,).
        starts: shape (n_reads + 1,): targets of read i are column[starts[i]:starts[i + 1]].
        column: shape (n_targets,): catalogue row.
        weight: shape (n_targets,): of its loss.
    """

    user: np.ndarray
    position: np.ndarray
    starts: np.ndarray
    column: np.ndarray
    weight: np.ndarray

    def take(self, mask: np.ndarray) -> Reads:
        """Some of the reads (a mask) with their targets."""
        counts = np.diff(self.starts)
        mine = np.repeat(mask, counts)
        starts = np.concatenate([[0], np.cumsum(counts[mask])])
        return Reads(self.user[mask], self.position[mask], starts, self.column[mine], self.weight[mine])


def reads_of(examples: TrainingExamples, half_life_days: float | None) -> Reads:
    """Every target of the catalogue, once.

    Args:
        examples: streams and targets.
        half_life_days: a target that many days before the newest weighs half; None: all weigh 1.
    """
    targets = examples.targets
    column = columns_of(targets["advertiser_id"], examples.catalogue["advertiser_id"].to_numpy())
    day = np.floor(days_since_1970(targets["event_time"])).astype(np.int64)
    keys = targets[["user", "position"]].to_numpy()[column >= 0]
    weight = np.ones(len(day)) if half_life_days is None else np.exp2((day - day.max(initial=0)) / half_life_days)
    found, read = np.unique(keys, axis=0, return_inverse=True)
    read = read.reshape(-1)
    order = np.argsort(read, kind="stable")
    return Reads(
        user=found[:, 0],
        position=found[:, 1],
        starts=np.searchsorted(read[order], np.arange(len(found) + 1)),
        column=column[column >= 0][order],
        weight=weight[column >= 0][order],
    )
