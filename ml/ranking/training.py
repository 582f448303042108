"""Trains one model per arm on the same rows: without priors, with the LLM's, with the placebo's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ml.evaluation.ranking import Curves
from ml.lake import Lake
from ml.progress import Progress, silent
from ml.ranking.arms import arms
from ml.ranking.impressions import ranker_rows
from ml.ranking.model import RankingModel, train_model
from ml.ranking.settings import RankerSettings
from ml.ranking.targets import CLICK, CONVERSION, TARGETS
from ml.timeline import Timeline


@dataclass(frozen=True)
class TrainedArms:
    """Models by arm and the size of what they learned from."""

    models: dict[str, RankingModel]
    rows: dict[str, int]
    """Rows by split."""
    positives: dict[str, int]
    """Rows with label 1 by split."""
    quality: dict[str, dict[str, float]]
    """AUC and PR-AUC of P(conversion) by arm on the calibration rows, which no tree has seen, and likewise of pCTR
    ("click_auc", ...); nan where they lack a class."""

    @property
    def sizes(self) -> dict[str, int]:
        """Rows and positives by split, and trees by arm."""
        sizes = {f"rows_{split}": rows for split, rows in self.rows.items()}
        sizes |= {f"positives_{split}": rows for split, rows in self.positives.items()}
        return sizes | {f"trees_{arm}": model.conversion.rounds for arm, model in self.models.items()}


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
        directory: where the models go.
        progress: told the arms done.
    """
    rows = ranker_rows(
        lake,
        timeline,
        negatives=settings.negatives,
        rng=np.random.default_rng([seed, 4]),
        attribution=settings.attribution,
        users=priors["user_id"].unique(),
        max_rows=settings.max_rows,
        splits=("train", "calibration"),
    )
    frames = arms(lake, rows, {str(name): table for name, table in priors.groupby("source")})
    models = {}
    for done, (arm, features) in enumerate(frames.items(), start=1):
        models[arm] = train_model(features, rows, settings, seed=seed)
        models[arm].save(directory / arm)
        progress(done, len(frames), "arms")
    labels = {str(split): part["label"] for split, part in rows.groupby("split")}
    return TrainedArms(
        models,
        rows={split: len(label) for split, label in labels.items()},
        positives={split: int(label.sum()) for split, label in labels.items()},
        quality={arm: _order(model, frames[arm], rows) for arm, model in models.items()},
    )


def _order(model: RankingModel, features: pd.DataFrame, rows: pd.DataFrame) -> dict[str, float]:
    """How well P(conversion) and pCTR order the calibration rows."""
    mine = (rows["split"] == "calibration").to_numpy()
    nobody, found = np.zeros(int(mine.sum()), int), {}
    for target, prefix in ((CONVERSION, ""), (CLICK, "click_")):
        if target in model.rankers:
            labels = TARGETS[target].labels(rows)[mine]
            curves = Curves.of(model.rankers[target].score(features[mine]), labels, nobody)
            for name, areas in zip(("auc", "pr_auc"), curves.areas(np.ones((1, 1))), strict=True):
                found[f"{prefix}{name}"] = float(areas[0])
    return found
