"""Trains one model per arm on the same rows: without priors, with the LLM's, with the placebo's.

Features are written to disk once and read back in batches, so many rows take little memory: `ml.ranking.matrices`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from ml.evaluation.ranking import Curves
from ml.lake import Lake
from ml.progress import Progress, silent
from ml.ranking.arms import store_arms
from ml.ranking.converts import ConvertsModel, train_converts
from ml.ranking.impressions import ranker_rows
from ml.ranking.matrices import Features, Selection
from ml.ranking.model import RankingModel, train_model
from ml.ranking.priors import Priors
from ml.ranking.settings import RankerSettings
from ml.ranking.targets import CLICK, CONVERSION, TARGETS
from ml.timeline import Timeline

REGISTERED = "llm"
"""The arm that is registered and served."""


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
    converts: ConvertsModel | None
    """P(converts), a feature of every arm; None where no past snapshot has closed yet."""

    @property
    def sizes(self) -> dict[str, int]:
        """Rows and positives by split."""
        sizes = {f"rows_{split}": rows for split, rows in self.rows.items()}
        sizes |= {f"positives_{split}": rows for split, rows in self.positives.items()}
        return sizes | {"converts_rows": self.converts.rows if self.converts else 0}

    @property
    def trees(self) -> dict[str, int]:
        """Of P(conversion), by arm."""
        return {arm: model.conversion.rounds for arm, model in self.models.items()}


def train_arms(
    lake: Lake,
    timeline: Timeline,
    priors: Mapping[str, Priors],
    settings: RankerSettings,
    *,
    seed: int,
    directory: Path,
    progress: Progress = silent,
) -> TrainedArms:
    """Train and calibrate every arm; save each to `directory/<arm>`, P(converts) to `directory`.

    Args:
        lake: validated logs; nothing after `timeline.as_of` is read.
        timeline: of the day the priors were made for.
        priors: past predictions by source; each is an arm. Rows are those of their users.
        settings: the same for every arm.
        seed: draws negatives and columns.
        directory: where the models go.
        progress: told the arms done.
    """
    users = np.unique(np.concatenate([mine.predictions["user_id"].unique() for mine in priors.values()]))
    rows = ranker_rows(
        lake,
        timeline,
        negatives=settings.negatives,
        rng=np.random.default_rng([seed, 4]),
        attribution=settings.attribution,
        users=users,
        max_rows=settings.max_rows,
        splits=("train", "calibration"),
    )
    converts = train_converts(lake, timeline, seed=seed)
    if converts:
        converts.save(directory)
    models, quality = {}, {}
    with TemporaryDirectory(dir=directory, prefix=".features-") as scratch:
        stored = store_arms(lake, rows, priors, Path(scratch), converts)
        for done, (arm, features) in enumerate(stored.items(), start=1):
            targets = TARGETS if arm == REGISTERED else settings.compared_targets
            models[arm] = train_model(features, rows, settings, seed=seed, targets=targets)
            models[arm].save(directory / arm)
            quality[arm] = _order(models[arm], features, rows)
            progress(done, len(stored), "arms")
    labels = {str(split): part["label"] for split, part in rows.groupby("split")}
    return TrainedArms(
        models,
        rows={split: len(label) for split, label in labels.items()},
        positives={split: int(label.sum()) for split, label in labels.items()},
        quality=quality,
        converts=converts,
    )


def _order(model: RankingModel, features: Features, rows: pd.DataFrame) -> dict[str, float]:
    """How well P(conversion) and pCTR order the calibration rows."""
    mine, found = (rows["split"] == "calibration").to_numpy(), dict[str, float]()
    for target, prefix in ((CONVERSION, ""), (CLICK, "click_")):
        if (ranker := model.rankers.get(target)) is None:
            continue
        parts = [
            (ranker.score_matrix(part), y)
            for part, y in Selection(features, mine, TARGETS[target].labels(rows)).batches()
        ]
        scores, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
        areas = Curves.of(scores, labels, np.zeros(len(labels), int)).areas(np.ones((1, 1)))
        found |= {f"{prefix}{name}": float(area[0]) for name, area in zip(("auc", "pr_auc"), areas, strict=True)}
    return found
