"""Whom to score at past snapshots: a seeded sample of the users the ranker could train on."""

from __future__ import annotations

import numpy as np

from ml.lake import Lake
from ml.ranking.impressions import ranker_rows
from ml.timeline import Timeline


def ranker_users(lake: Lake, timeline: Timeline, *, most: int, rng: np.random.Generator) -> np.ndarray:
    """Ids of up to `most` users with rows in the train or calibration window, ascending.

    Args:
        lake: validated logs.
        timeline: of the day the ranker is trained on.
        most: users; beyond it a sample is drawn.
        rng: draws the sample.
    """
    rows = ranker_rows(lake, timeline, negatives=1, rng=rng, splits=("train", "calibration"))
    users = np.unique(rows["user_id"].to_numpy(dtype=str))
    return users if len(users) <= most else np.sort(rng.choice(users, most, replace=False))
