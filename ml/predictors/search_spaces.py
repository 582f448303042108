"""Where tuning looks: for each source what one trial (of optuna) may change in its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.predictors.popularity import PopularitySettings

if TYPE_CHECKING:
    from optuna import Trial

Changes = dict[str, object]


def popularity(trial: Trial) -> Changes:
    return {
        "half_life_days": trial.suggest_float("popularity_half_life_days", 3, 720, log=True),
        "smoothing": trial.suggest_float("popularity_smoothing", 0.1, 10, log=True),
    }


def repeat_last(trial: Trial) -> Changes:
    return {
        "half_life_days": trial.suggest_float("half_life_days", 3, 1500, log=True),
        "popularity": _popularity(trial),
    }


def _history(trial: Trial) -> Changes:
    decays = trial.suggest_categorical("decays", [False, True])
    return {
        "own_bonus": trial.suggest_float("own_bonus", 0.003, 1, log=True),
        "half_life_days": trial.suggest_float("half_life_days", 7, 3000, log=True) if decays else None,
        "popularity": _popularity(trial),
    }


def cooccurrence(trial: Trial) -> Changes:
    return {"regularisations": (trial.suggest_float("regularisation", 5, 5000, log=True),), **_history(trial)}


def ials(trial: Trial) -> Changes:
    return {
        "factors": trial.suggest_int("factors", 32, 256, log=True),
        "regularisation": trial.suggest_float("regularisation", 1, 300, log=True),
        "confidence": trial.suggest_float("confidence", 1, 30, log=True),
        "own_share": trial.suggest_float("own_share", 0.3, 1),
        **_history(trial),
    }


def itemknn(trial: Trial) -> Changes:
    return {
        "neighbours": trial.suggest_int("neighbours", 10, 1000, log=True),
        "weighting": trial.suggest_categorical("weighting", ["cosine", "tfidf", "bm25"]),
        **_history(trial),
    }


def text_linear(trial: Trial) -> Changes:
    return {
        "longest_term": trial.suggest_int("longest_term", 1, 3),
        "decay": trial.suggest_float("decay", 0.75, 1),
        "rank": trial.suggest_int("rank", 64, 256, log=True),
        "epochs": trial.suggest_int("epochs", 2, 8),
        "learning_rate": trial.suggest_float("learning_rate", 3e-3, 3e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 0.1, 6, log=True),
        "scale": trial.suggest_float("scale", 4, 25, log=True),
    }


def sequence(trial: Trial) -> Changes:
    return {
        "hidden": trial.suggest_categorical("hidden", [64, 128]),
        "layers": trial.suggest_int("layers", 1, 2),
        "dropout": trial.suggest_float("dropout", 0.2, 0.7),
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 1, log=True),
        "half_life_days": trial.suggest_float("half_life_days", 90, 3000, log=True),
    }


def _popularity(trial: Trial) -> PopularitySettings:
    return PopularitySettings.model_validate(popularity(trial))
