"""The ranker: gradient-boosted trees on conversion, then a calibrator. P(conversion | impression).

Trained on sampled negatives (purchase logs) its probabilities are relative to that sample: they order ads,
and their level means nothing outside it.

    ranker = train_ranker(features, rows, settings, seed=1)
    probability = ranker.predict(features)

Source of the method: Chen, Guestrin 2016, "XGBoost" (histogram trees); the number of rounds is chosen on the
latest training days, then all training days are fitted with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.artifacts import write_json
from ml.errors import BadInput
from ml.ranking.calibration import Calibrator, fit_calibrator
from ml.ranking.settings import RankerSettings


@dataclass(frozen=True)
class Ranker:
    """A fitted booster with its calibrator.

    Attributes:
        booster: xgboost.Booster.
        calibrator: from log-odds to probability.
        features: names of the columns, in the booster's order.
        rounds: trees in the booster.
    """

    booster: Any
    calibrator: Calibrator
    features: list[str]
    rounds: int

    def score(self, features: pd.DataFrame) -> np.ndarray:
        """Raw log-odds, shape (n,): the order of ads, without the calibrator's plateaus.

        Raises:
            BadInput: a feature is missing.
        """
        return _log_odds(self.booster, self.matrix(features))

    def matrix(self, features: pd.DataFrame) -> np.ndarray:
        """The features as the booster reads them: one column each of `self.features`.

        Raises:
            BadInput: a feature is missing.
        """
        return _matrix(features, self.features)

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        """What `predict` says of the rows of `matrix`."""
        return self.calibrator(_log_odds(self.booster, matrix))

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """Calibrated probability of a conversion, shape (n,)."""
        return self.calibrator(self.score(features))

    def importance(self) -> pd.DataFrame:
        """feature, gain (mean loss reduction of its splits), share (of the summed gain), largest share first."""
        mean, total = (self.booster.get_score(importance_type=kind) for kind in ("gain", "total_gain"))
        everything = sum(total.values()) or 1.0
        table = pd.DataFrame(
            {
                "feature": self.features,
                "gain": [float(mean.get(name, 0.0)) for name in self.features],
                "share": [float(total.get(name, 0.0)) / everything for name in self.features],
            }
        )
        return table.sort_values(["share", "feature"], ascending=[False, True], ignore_index=True)

    def save(self, directory: Path) -> None:
        """Write booster.ubj and ranker.json into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        self.booster.save_model(directory / "booster.ubj")
        about = {"features": self.features, "rounds": self.rounds, "calibrator": self.calibrator.model_dump()}
        write_json(directory / "ranker.json", about)

    @classmethod
    def load(cls, directory: Path) -> Ranker:
        """What `save` wrote; scores are equal bit for bit.

        Raises:
            BadInput: the directory holds no ranker.
        """
        import xgboost

        if not (directory / "ranker.json").exists():
            raise BadInput("no ranker here", where=str(directory), remedy="materialise ranker for this day")
        about = json.loads((directory / "ranker.json").read_text())
        booster = xgboost.Booster(model_file=str(directory / "booster.ubj"))
        return cls(booster, Calibrator(**about["calibrator"]), about["features"], about["rounds"])


def train_ranker(features: pd.DataFrame, rows: pd.DataFrame, settings: RankerSettings, *, seed: int) -> Ranker:
    """Fit on the train rows, calibrate on the calibration rows; test rows are not looked at.

    Args:
        features: one row per row of `rows`, same order; all columns are used.
        rows: split, label, day; see `ranker_rows`.

    Raises:
        BadInput: rows and features do not match, or the train rows hold one class only.
    """
    if len(features) != len(rows):
        raise BadInput(
            f"{len(features)} feature rows for {len(rows)} rows", where="ranker", remedy="build both from the same rows"
        )
    names = list(features.columns)
    split, labels = rows["split"].to_numpy(), rows["label"].to_numpy(np.float32)
    train, calibration = split == "train", split == "calibration"
    if len(np.unique(labels[train])) < 2:
        raise BadInput(
            f"every train label is {labels[train][:1].tolist()}", where="ranker rows", remedy="use more ranker_days"
        )
    matrix = _matrix(features, names)
    tail = _tail(pd.to_datetime(rows["day"]).to_numpy(), train, settings.tail_share)
    rounds = _choose_rounds(matrix, labels, train & ~tail, tail, names, settings, seed)
    booster = _fit(matrix[train], labels[train], names, settings, seed, rounds)
    calibrator = fit_calibrator(_log_odds(booster, matrix[calibration]), labels[calibration])
    return Ranker(booster, calibrator, names, rounds)


def _tail(days: np.ndarray, train: np.ndarray, share: float) -> np.ndarray:
    """Train rows of the latest whole days that hold at least `share` of them, but never of all days."""
    ordered = np.sort(days[train])
    first = ordered[max(0, int(len(ordered) * (1 - share)))]
    tail: np.ndarray = train & (days >= first) & (days > ordered[0])
    return tail


def _choose_rounds(
    matrix: np.ndarray,
    labels: np.ndarray,
    head: np.ndarray,
    tail: np.ndarray,
    names: list[str],
    settings: RankerSettings,
    seed: int,
) -> int:
    """Rounds that fit the tail best; all of them where head or tail hold one class only and cannot tell."""
    import xgboost

    if len(np.unique(labels[head])) < 2 or len(np.unique(labels[tail])) < 2:
        return settings.rounds
    booster = xgboost.train(
        _parameters(settings, labels[head], seed),
        xgboost.QuantileDMatrix(matrix[head], labels[head], feature_names=names, nthread=settings.threads),
        num_boost_round=settings.rounds,
        evals=[(xgboost.DMatrix(matrix[tail], labels[tail], feature_names=names, nthread=settings.threads), "tail")],
        early_stopping_rounds=settings.early_stopping_rounds,
        verbose_eval=False,
    )
    return int(booster.best_iteration) + 1


def _fit(
    matrix: np.ndarray, labels: np.ndarray, names: list[str], settings: RankerSettings, seed: int, rounds: int
) -> Any:
    import xgboost

    data = xgboost.QuantileDMatrix(matrix, labels, feature_names=names, nthread=settings.threads)
    return xgboost.train(_parameters(settings, labels, seed), data, num_boost_round=rounds)


def _parameters(settings: RankerSettings, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """No row or column sampling: arms then differ by their columns only."""
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "base_score": float(labels.mean()),
        "tree_method": "hist",
        "max_depth": settings.max_depth,
        "eta": settings.learning_rate,
        "min_child_weight": settings.min_child_weight,
        "lambda": settings.reg_lambda,
        "nthread": settings.threads,
        "seed": seed,
    }


def _log_odds(booster: Any, matrix: np.ndarray) -> np.ndarray:
    # numpy in, raw margin out: a DataFrame costs several times as long (STACK: serving).
    scores: np.ndarray = booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
    log_odds: np.ndarray = scores.astype(np.float64)
    return log_odds


def _matrix(features: pd.DataFrame, names: list[str]) -> np.ndarray:
    if missing := [name for name in names if name not in features.columns]:
        raise BadInput(f"features missing: {missing}", where="ranker", remedy="build features for the ranker's own arm")
    matrix: np.ndarray = np.ascontiguousarray(features[names].to_numpy(np.float32))
    return matrix
