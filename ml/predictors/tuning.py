"""Tunes a source on the validation fold: every trial is fitted on the fold's examples and judged on its labels.

The objective is the mean of recall@5, @10 and @20 over all labels (one outside the catalogue is a miss): what the
sources are compared by, and less noisy than any one of them; log loss would choose for calibration, which is mended
afterwards. The settings given are always the first trial, so tuning can only find better ones on that fold. It sees
nothing but the fold; the source is fitted anew for the comparison.

    found = tune("cooccurrence", fold, BaselineSettings(), trials=20, seed=0)
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.predictors.fold import Fold
from ml.predictors.registry import BASELINES, BaselineSettings
from ml.progress import Progress, silent

CUTS = (5, 10, 20)


@dataclass(frozen=True)
class Tuned:
    """What tuning one source found.

    Attributes:
        settings: all baselines' settings, with the best of this source.
        value: its objective, and that of the settings given.
        before: the objective of the settings given.
        trials: one row a trial: number, value, seconds, and what was tried; trial 0 are the settings given.
    """

    settings: BaselineSettings
    value: float
    before: float
    trials: pd.DataFrame

    @property
    def seconds(self) -> float:
        """Wall clock of all trials."""
        return float(self.trials["seconds"].sum())


def tune(
    name: str, fold: Fold, settings: BaselineSettings, *, trials: int, seed: int, progress: Progress = silent
) -> Tuned:
    """Search a source's space (`ml.predictors.search_spaces`) by TPE (Bergstra et al. 2011), from optuna.

    Args:
        name: a row of `BASELINES`.
        fold: the validation fold.
        settings: where to start from.
        trials: fits in all, the first of them with `settings` as they are.
        seed: same seed, same trials.
        progress: told the trials done.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found: dict[int, BaselineSettings] = {}
    rows: list[dict[str, object]] = []

    def judged(number: int, chosen: BaselineSettings, tried: dict[str, object]) -> float:
        start = time.perf_counter()
        source = BASELINES[name].make(chosen).fit(fold.examples)
        value = objective(source.probabilities(fold.contexts), fold.column)
        found[number] = chosen
        rows.append({"trial": number, "value": value, "seconds": time.perf_counter() - start, **tried})
        progress(len(rows), trials, "trials")
        return value

    def run(trial: optuna.Trial) -> float:
        section = getattr(settings, name)
        changed = type(section).model_validate({**section.model_dump(), **BASELINES[name].suggest(trial)})
        return judged(trial.number + 1, settings.model_copy(update={name: changed}), dict(trial.params))

    judged(0, settings, {})
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(run, n_trials=trials - 1)
    table = pd.DataFrame(rows)
    best = int(table["value"].to_numpy().argmax())
    return Tuned(found[best], float(table["value"].iloc[best]), float(table["value"].iloc[0]), table)


def objective(probabilities: np.ndarray, column: np.ndarray) -> float:
    """Mean recall at CUTS; of equal probabilities the lower catalogue row comes first, as in the predictions table.

    A row that is no distribution (its training diverged) is a miss, so that such a trial is the worst, not the best.

    Args:
        probabilities: shape (n_labels, n_advertisers).
        column: shape (n_labels,): catalogue row of each label, -1 outside it (a miss).
    """
    place = np.maximum(column, 0)[:, None]
    own = np.take_along_axis(probabilities, place, axis=1)
    earlier = np.arange(probabilities.shape[1]) < place
    ahead = ((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1)
    ranks = np.where((column >= 0) & np.isfinite(probabilities).all(axis=1), ahead + 1.0, np.inf)
    return float(np.mean([(ranks <= cut).mean() for cut in CUTS]))
