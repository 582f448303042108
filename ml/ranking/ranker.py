"""The ranker of one target: gradient-boosted trees, then a calibrator. Which targets: `ml.ranking.targets`.

Trained on sampled negatives (purchase logs) its probabilities are relative to that sample: they order ads,
and their level means nothing outside it.

    ranker = train_ranker(features, rows, settings, seed=1)
    probability = ranker.predict(features)

Source of the method: Chen, Guestrin 2016, "XGBoost" (histogram trees); the number of rounds is chosen on the
latest training days, then all training days are fitted with it. Negatives are thinned out and priors hidden in
training rows only (`ml.ranking.downsampling`, `ml.ranking.priors`): the calibration rows are as they were shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.artifacts import fingerprint_of, sha256, write_json
from ml.errors import BadInput
from ml.ranking.calibration import Calibrator, fit_calibrator
from ml.ranking.downsampling import kept_rows, log_odds_shift
from ml.ranking.matrices import Features, FrameFeatures, Selection, quantile_matrix
from ml.ranking.priors import hidden_priors
from ml.ranking.settings import RankerSettings
from ml.ranking.targets import CONVERSION, TARGETS, are_impressions

BOOSTER, ABOUT = "booster.ubj", "ranker.json"


@dataclass(frozen=True)
class Ranker:
    """A fitted booster with its calibrator.

    Attributes:
        booster: xgboost.Booster.
        calibrator: from log-odds to probability.
        features: names of the columns, in the booster's order.
        rounds: trees in the booster.
        target: what it forecasts, one of `ml.ranking.targets.TARGETS`.
        negative_share: share of the negatives that it was trained on.
        calibrated_on: first and last day, rows and positives of the calibration slice.
    """

    booster: Any
    calibrator: Calibrator
    features: list[str]
    rounds: int
    target: str
    negative_share: float
    calibrated_on: dict[str, Any]

    def score(self, features: pd.DataFrame) -> np.ndarray:
        """Log-odds before calibration, shape (n,): the order of ads, without the calibrator's plateaus.

        Raises:
            BadInput: a feature is missing.
        """
        return self.score_matrix(self.matrix(features))

    def matrix(self, features: pd.DataFrame) -> np.ndarray:
        """The features as the booster reads them: one column each of `self.features`.

        Raises:
            BadInput: a feature is missing.
        """
        return _matrix(features, self.features)

    def score_matrix(self, matrix: np.ndarray) -> np.ndarray:
        """What `score` says of the rows of `matrix`."""
        return _log_odds(self.booster, matrix) + log_odds_shift(self.negative_share)

    def predict_matrix(self, matrix: np.ndarray) -> np.ndarray:
        """What `predict` says of the rows of `matrix`."""
        return self.calibrator(self.score_matrix(matrix))

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """Calibrated probability of the target, shape (n,)."""
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
        """Write booster.ubj and ranker.json into `directory`, and with them a version that covers both."""
        directory.mkdir(parents=True, exist_ok=True)
        self.booster.save_model(directory / BOOSTER)
        about = {
            "target": self.target,
            "features": self.features,
            "rounds": self.rounds,
            "negative_share": self.negative_share,
            "calibrator": self.calibrator.model_dump(),
            "calibrated_on": self.calibrated_on,
        }
        write_json(directory / ABOUT, {**about, "version": _version(directory, about)})

    @classmethod
    def load(cls, directory: Path) -> Ranker:
        """What `save` wrote; scores are equal bit for bit.

        Raises:
            BadInput: the directory holds no ranker, or trees and calibrator are not those that were saved together.
        """
        import xgboost

        if not (directory / ABOUT).exists():
            raise BadInput("no ranker here", where=str(directory), remedy="materialise ranker for this day")
        about = json.loads((directory / ABOUT).read_text())
        if about.pop("version", None) != _version(directory, about):
            raise BadInput(
                "trees and calibrator are not of one version", where=str(directory), remedy="materialise ranker again"
            )
        booster = xgboost.Booster(model_file=str(directory / BOOSTER))
        return cls(booster, Calibrator(**about.pop("calibrator")), **about)


def train_ranker(
    features: pd.DataFrame | Features,
    rows: pd.DataFrame,
    settings: RankerSettings,
    *,
    seed: int,
    target: str = CONVERSION,
) -> Ranker:
    """Fit on the train rows, calibrate on the calibration rows; test rows are not looked at.

    Args:
        features: one row per row of `rows`, same order; all columns are used.
        rows: split, label, day; see `ranker_rows`.
        seed: draws the negatives that stay and the priors that are hidden, alike for every arm.
        target: one of TARGETS; only the rows that it is asked for count.

    Raises:
        BadInput: rows and features do not match, or the train rows hold one class only.
    """
    if isinstance(features, pd.DataFrame):
        features = FrameFeatures(features)
    split, labels = rows["split"].to_numpy(), TARGETS[target].labels(rows)
    asked = TARGETS[target].among(rows)
    train, calibration = asked & (split == "train"), asked & (split == "calibration")
    if len(np.unique(labels[train])) < 2:
        raise BadInput(
            f"every train label of {target} is {labels[train][:1].tolist()}",
            where="ranker rows",
            remedy="use more ranker_days",
        )
    share = settings.negative_share if are_impressions(rows) else 1.0
    draws = [np.random.default_rng([seed, 6, part]) for part in range(2)]
    kept = train & kept_rows(labels, share, draws[0])
    hidden = hidden_priors(rows, settings.prior_dropout, draws[1])
    tail = _tail(pd.to_datetime(rows["day"]).to_numpy(), kept, settings.tail_share)
    rounds = _choose_rounds(
        Selection(features, kept & ~tail, labels, hidden), Selection(features, tail, labels, hidden), settings, seed
    )
    booster = _fit(Selection(features, kept, labels, hidden), settings, seed, rounds)
    found = [(_log_odds(booster, part), y) for part, y in Selection(features, calibration, labels).batches()]
    scores, truth = (np.concatenate([np.zeros(0), *parts]) for parts in zip(*found, strict=True)) if found else ([], [])
    calibrator = fit_calibrator(np.asarray(scores) + log_odds_shift(share), np.asarray(truth))
    return Ranker(
        booster, calibrator, features.names, rounds, target, share, _slice_of(rows[calibration], labels[calibration])
    )


def _slice_of(rows: pd.DataFrame, labels: np.ndarray) -> dict[str, Any]:
    """What the calibrator was fitted on."""
    first, last = (str(rows["day"].min()), str(rows["day"].max())) if len(rows) else (None, None)
    return {"first": first, "last": last, "rows": len(rows), "positives": int(labels.sum())}


def _version(directory: Path, about: dict[str, Any]) -> str:
    return fingerprint_of([sha256(directory / BOOSTER), about])


def _tail(days: np.ndarray, train: np.ndarray, share: float) -> np.ndarray:
    """Train rows of the latest whole days that hold at least `share` of them, but never of all days."""
    ordered = np.sort(days[train])
    first = ordered[max(0, int(len(ordered) * (1 - share)))]
    tail: np.ndarray = train & (days >= first) & (days > ordered[0])
    return tail


def _choose_rounds(head: Selection, tail: Selection, settings: RankerSettings, seed: int) -> int:
    """Rounds that fit the tail best; all of them where head or tail hold one class only and cannot tell."""
    import xgboost

    if any(len(np.unique(part.labels[part.keep])) < 2 for part in (head, tail)):
        return settings.rounds
    learned = quantile_matrix(head, threads=settings.threads)
    booster = xgboost.train(
        _parameters(head, settings, seed),
        learned,
        num_boost_round=settings.rounds,
        evals=[(quantile_matrix(tail, threads=settings.threads, like=learned), "tail")],
        early_stopping_rounds=settings.early_stopping_rounds,
        verbose_eval=False,
    )
    return int(booster.best_iteration) + 1


def _fit(selection: Selection, settings: RankerSettings, seed: int, rounds: int) -> Any:
    import xgboost

    data = quantile_matrix(selection, threads=settings.threads)
    return xgboost.train(_parameters(selection, settings, seed), data, num_boost_round=rounds)


def _parameters(selection: Selection, settings: RankerSettings, seed: int) -> dict[str, Any]:
    """No row or column sampling: arms then differ by their columns only."""
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "base_score": float(selection.labels[selection.keep].mean()),
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
