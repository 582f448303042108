"""Tunes the sources that are worth it on the validation fold of a training: which, how long, and what came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ml.predictors.fold import Fold
from ml.predictors.registry import BASELINES, BaselineSettings
from ml.predictors.tuning import tune
from ml.progress import Progress, silent


class TuningSettings(BaseModel):
    """How long each source is tuned; see ml/predictors/search_spaces.py for what is tried."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    trials: int = Field(default=20, ge=0)
    """Fits of each source, the first with its settings as they are; 0: nothing is tuned."""
    sources: tuple[str, ...] = ("popularity", "repeat_last", "cooccurrence", "ials", "itemknn")
    """Sources that are tuned: those that train in seconds. text_linear and sequence take minutes a trial."""
    min_labels: int = Field(default=200, ge=1)
    """Validation users below which nothing is tuned: chance would choose."""

    @field_validator("sources")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(names) - set(BASELINES)):
            raise ValueError(f"no such source: {', '.join(unknown)} (known: {', '.join(BASELINES)})")
        return names


@dataclass(frozen=True)
class TunedSources:
    """What tuning came to.

    Attributes:
        settings: of all sources.
        found: by source its objective before and after, seconds, and every trial; empty where nothing was tuned.
        labels: validation users.
    """

    settings: BaselineSettings
    found: dict[str, dict[str, Any]]
    labels: int


def tune_all(
    fold: Fold, settings: BaselineSettings, tuning: TuningSettings, *, seed: int, progress: Progress = silent
) -> TunedSources:
    """Tune one source after another, each from `settings`.

    Args:
        fold: see `ml.evaluation.validation`.
        settings: where to start from.
        tuning: what to tune.
        seed: same seed, same result.
        progress: told the trials done.
    """
    found: dict[str, dict[str, Any]] = {}
    labels, total = len(fold.labels), tuning.trials * len(tuning.sources)
    if labels < tuning.min_labels or not tuning.trials:
        return TunedSources(settings, found, labels)
    chosen = {}
    for number, name in enumerate(tuning.sources):
        report = _Part(progress, number * tuning.trials, total)
        tuned = tune(name, fold, settings, trials=tuning.trials, seed=seed, progress=report)
        chosen[name] = getattr(tuned.settings, name)
        trials = tuned.trials.astype(object).where(tuned.trials.notna(), None).to_dict("records")
        found[name] = {"before": tuned.before, "after": tuned.value, "trials": trials}
    return TunedSources(settings.model_copy(update=chosen), found, labels)


class _Part:
    """Progress of one source as part of all."""

    def __init__(self, whole: Progress, before: int, total: int) -> None:
        self.whole, self.before, self.total = whole, before, total

    def __call__(self, done: int, total: int, unit: str) -> None:
        self.whole(self.before + done, self.total, unit)
