"""One arm's model: the rankers of all targets on the same features, and the score that ads are ranked by.

    <directory>/booster.ubj, ranker.json      P(conversion | impression)
    <directory>/<target>/booster.ubj, ...     pCTR, pCVR after a click, pCVR after a view
    <directory>/model.json                    targets, why others are missing, the formula of the score

A target without both classes among the train rows (no click was logged, nobody converted after a view) has no ranker,
and model.json says so; without P(conversion) there is no model.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ml.artifacts import read_json, write_json
from ml.errors import BadInput
from ml.ranking.matrices import Features
from ml.ranking.ranker import Ranker, train_ranker
from ml.ranking.score import ScoreSettings, final_score, formula
from ml.ranking.settings import RankerSettings
from ml.ranking.targets import CONVERSION, TARGETS, are_impressions

MODEL = "model.json"


@dataclass(frozen=True)
class RankingModel:
    """Rankers by target.

    Attributes:
        rankers: by target; CONVERSION is always there.
        scoring: how bids and probabilities become a score.
        missing: why the other targets have no ranker.
    """

    rankers: dict[str, Ranker]
    scoring: ScoreSettings
    missing: dict[str, str]

    @property
    def conversion(self) -> Ranker:
        return self.rankers[CONVERSION]

    @property
    def formula(self) -> str:
        """Of the score, in words."""
        return formula(self.scoring, self.rankers)

    def predict(self, features: pd.DataFrame) -> dict[str, np.ndarray]:
        """Calibrated probabilities by target, each of shape (n,)."""
        return self.predict_matrix(self.conversion.matrix(features))

    def predict_matrix(self, matrix: np.ndarray) -> dict[str, np.ndarray]:
        """The same of a float32 matrix with the columns `self.conversion.features`."""
        return {target: ranker.predict_matrix(matrix) for target, ranker in self.rankers.items()}

    def score(self, probability: dict[str, np.ndarray], bid: np.ndarray) -> np.ndarray:
        """What showing each ad is worth: `ml.ranking.score.final_score` of what `predict` says. Shape (n,)."""
        return final_score(probability, bid, self.scoring)

    def save(self, directory: Path) -> None:
        """Write all rankers into `directory`."""
        for target, ranker in self.rankers.items():
            ranker.save(_place(directory, target))
        about = {"targets": list(self.rankers), "missing": self.missing, "formula": self.formula}
        write_json(directory / MODEL, {**about, "score": self.scoring.model_dump()})

    @classmethod
    def load(cls, directory: Path) -> RankingModel:
        """What `save` wrote.

        Raises:
            BadInput: the directory holds no model.
        """
        if not (directory / MODEL).exists():
            raise BadInput("no ranking model here", where=str(directory), remedy="materialise ranker for this day")
        about = read_json(directory / MODEL)
        rankers = {target: Ranker.load(_place(directory, target)) for target in about["targets"]}
        return cls(rankers, ScoreSettings(**about["score"]), about["missing"])


def train_model(
    features: pd.DataFrame | Features,
    rows: pd.DataFrame,
    settings: RankerSettings,
    *,
    seed: int,
    targets: Collection[str] = tuple(TARGETS),
) -> RankingModel:
    """A ranker for every target asked for that the rows allow; see `ml.ranking.ranker.train_ranker`.

    Raises:
        BadInput: the train rows hold no conversion, or nothing else.
    """
    rankers, missing = {}, {}
    for name, target in TARGETS.items():
        mine = target.among(rows) & (rows["split"] == "train").to_numpy()
        if name != CONVERSION and name not in targets:
            missing[name] = "not asked for"
        elif name != CONVERSION and not are_impressions(rows):
            missing[name] = "the log has no impressions"
        elif name != CONVERSION and len(np.unique(target.labels(rows)[mine])) < 2:
            missing[name] = f"{int(target.labels(rows)[mine].sum())} of {int(mine.sum())} train rows have it"
        else:
            rankers[name] = train_ranker(features, rows, settings, seed=seed, target=name)
    return RankingModel(rankers, settings.score, missing)


def _place(directory: Path, target: str) -> Path:
    return directory if target == CONVERSION else directory / target
