"""Trains one ranker per arm on the same rows: without priors, with the LLM's, with the placebo's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ml.lake import Lake
from ml.progress import Progress, silent
from ml.ranking.arms import arms
from ml.ranking.impressions import ranker_rows
from ml.ranking.ranker import Ranker, train_ranker
from ml.ranking.settings import RankerSettings
from ml.timeline import Timeline


@dataclass(frozen=True)
class TrainedArms:
    """Rankers by arm and the size of what they learned from."""

    rankers: dict[str, Ranker]
    rows: dict[str, int]
    """Rows by split."""
    positives: dict[str, int]
    """Rows with label 1 by split."""


def train_arms(
    lake: Lake,
    timeline: Timeline,
    priors: pd.DataFrame,
    settings: RankerSettings,
    *,
    seed: int,
    directory: Path,
    progress: Progress = silent,
) -> TrainedArms:
    """Train and calibrate every arm, and save each to `directory/<arm>`.

    Args:
        lake: validated logs; nothing after `timeline.as_of` is read.
        timeline: of the day the priors were made for.
        priors: past predictions of the sources that are arms; rows are those of their users.
        settings: the same for every arm.
        seed: draws negatives and columns.
        directory: where the rankers go.
        progress: told the arms done.
    """
    rows = ranker_rows(
        lake,
        timeline,
        negatives=settings.negatives,
        rng=np.random.default_rng([seed, 4]),
        users=priors["user_id"].unique(),
        max_rows=settings.max_rows,
        splits=("train", "calibration"),
    )
    frames = arms(lake, rows, {str(name): table for name, table in priors.groupby("source")})
    rankers = {}
    for done, (arm, features) in enumerate(frames.items(), start=1):
        rankers[arm] = train_ranker(features, rows, settings, seed=seed)
        rankers[arm].save(directory / arm)
        progress(done, len(frames), "arms")
    labels = {str(split): part["label"] for split, part in rows.groupby("split")}
    sizes = {split: len(label) for split, label in labels.items()}
    return TrainedArms(rankers, sizes, {split: int(label.sum()) for split, label in labels.items()})
