"""The pieces of the quality benchmark: each source's whole distribution for the judged users of a fold, kept on disk.

    python -m benchmarks.quality_pieces --data <amazon14> --out var/quality [--only PIECE ...]

A finished piece is not made again, and a killed LLM training goes on from its last resume point, so the hours this
takes can be split at will. `benchmarks.predictor_quality` makes the tables out of them.

    tuned/<source>.json          settings found on the validation fold, and every trial
    validation/<source>.npz      what it says of 2,500 validation users: blends and calibration are learned there
    test/<source>[-s<seed>].npz  what it says of the test users, fitted anew on all before
    test/left_out-s0.npz         the LLM without the targets of a tenth of the advertisers
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.amazon14 import TEST, VALIDATION, read_fold
from ml.artifacts import write_json
from ml.evaluation.left_out import leave_out, of_left_out
from ml.llm.checkpoint import load_head
from ml.llm.predictor import LLMPredictor
from ml.llm.settings import LLMSettings
from ml.llm.train import train
from ml.predictors.fold import Fold
from ml.predictors.registry import BASELINES, BaselineSettings
from ml.predictors.sequence import SequenceSettings
from ml.predictors.tuning import tune

TRIALS = 20
VALIDATION_USERS = 2500
SEEDS = (0, 1, 2)
SEEDED = ("ials", "text_linear", "sequence")
"""Sources whose fit has a seed: a second one shows what chance alone finds."""
LEFT_OUT = 0.1
HALF_LIFE_DAYS = 91
LLM = LLMSettings(
    train_tokens=650_000,
    validation_share=0.03,
    validation_points=3,
    batch_tokens=1024,
    log_every=20,
    save_every=20,
    head_learning_rate=3e-3,
    cooccurrence_share=0.8,
)
"""Share of the teacher and the head's learning rate are from docs/results/llm-sweep.md; 12,000 users, in one pass."""
START = BaselineSettings.with_half_life(HALF_LIFE_DAYS).model_copy(
    update={"sequence": SequenceSettings(hidden=128, dropout=0.6, weight_decay=0.1, half_life_days=365)}
)
"""Where tuning starts: defaults, and of the sequence model the best of some tries by hand on the validation fold."""


class Bench:
    """Where things lie, and the folds."""

    def __init__(self, data: Path, base: Path, out: Path) -> None:
        self.data, self.base, self.out = data, base, out
        self._folds: dict[str, Fold] = {}

    def fold(self, name: str) -> Fold:
        if name not in self._folds:
            day = {"validation": VALIDATION, "test": TEST}[name]
            self._folds[name] = read_fold(self.data, day, self.out / "amazon14")
        return self._folds[name]

    def judged(self, name: str) -> Fold:
        """The fold with the users that pieces are about: of the validation users a seeded sample."""
        fold = self.fold(name)
        if name == "test":
            return fold
        return fold.take(np.sort(np.random.default_rng(0).permutation(len(fold.labels))[:VALIDATION_USERS]))

    def keep(self, fold: str, name: str, make: Callable[[], tuple[np.ndarray, dict[str, Any]]]) -> None:
        """Make a piece unless it is there; the second value is what it cost."""
        path = self.out / fold / f"{name}.npz"
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        probabilities, cost = make()
        temporary = path.with_name(f".{name}.tmp.npz")
        np.savez(temporary, p=probabilities.astype(np.float32), cost=json.dumps(cost))
        temporary.replace(path)
        print(f"{fold}/{name}: {cost}", flush=True)

    def read(self, fold: str, name: str) -> np.ndarray:
        """A piece's distribution, float64, shape (n_judged, n_advertisers)."""
        p = np.load(self.out / fold / f"{name}.npz")["p"].astype(np.float64)
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def cost(self, fold: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(str(np.load(self.out / fold / f"{name}.npz")["cost"]))
        return found


def tuned_settings(bench: Bench, source: str) -> BaselineSettings:
    """Settings found by TRIALS trials on the validation fold; the sequence model is trained anew on all users then."""
    path = bench.out / "tuned" / f"{source}.json"
    if not path.exists():
        found = tune(
            source,
            bench.fold("validation"),
            START,
            trials=TRIALS,
            seed=0,
            progress=lambda done, total, unit: print(f"{source}: {done} of {total} {unit}", flush=True),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(
            path,
            {
                "settings": found.settings.model_dump(mode="json"),
                "before": found.before,
                "value": found.value,
                "trials": json.loads(found.trials.to_json(orient="records")),
            },
        )
    settings = BaselineSettings.model_validate(json.loads(path.read_text())["settings"])
    return settings.model_copy(update={"sequence": settings.sequence.model_copy(update={"refit": True})})


def baseline(bench: Bench, fold: str, source: str, settings: BaselineSettings) -> tuple[np.ndarray, dict[str, Any]]:
    """A cheap source, fitted on all training users of a fold."""
    data, start = bench.judged(fold), time.process_time()
    fitted = BASELINES[source].make(settings).fit(data.examples)
    middle = time.process_time()
    probabilities = fitted.probabilities(data.contexts)
    return probabilities, {
        "fit_cpu_seconds": middle - start,
        "predict_cpu_seconds": time.process_time() - middle,
        "train_users": len(data.examples.contexts),
        "users": len(data.contexts),
    }


def llm(
    bench: Bench, fold: str, name: str, seed: int, settings: LLMSettings, examples: Any = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """The LLM, trained on a sample of a fold's training users; states of frozen layers are shared by all pieces."""
    data, work = bench.judged(fold), bench.out / "work" / f"{fold}-{name}"
    work.mkdir(parents=True, exist_ok=True)
    start, last = time.process_time(), [0.0]

    def progress(done: float, total: float, unit: str) -> None:
        if time.monotonic() - last[0] > 60:
            last[0] = time.monotonic()
            print(f"{fold}/{name}: {done:,.0f} of {total:,.0f} {unit}", flush=True)

    kept = bench.out / "kept"
    result = train(examples or data.examples, bench.base, settings, seed=seed, work=work, cache=kept, progress=progress)
    middle = time.process_time()
    predictor = LLMPredictor.load(work, bench.base, model_version=name, settings=settings, cache=kept)
    probabilities = predictor.distribution(predictor.hidden_states(data.contexts, progress))
    return probabilities, {
        "fit_cpu_seconds": middle - start,
        "predict_cpu_seconds": time.process_time() - middle,
        "train_users": result.counts["train_users"],
        "users": len(data.contexts),
        "counts": result.counts,
        "validation": result.metrics,
        "temperature": result.temperature,
        "tokens_per_second": result.compute["train_tokens_per_second"],
    }


def left_out(bench: Bench) -> tuple[np.ndarray, dict[str, Any]]:
    """The LLM trained without the targets of some advertisers. Beside it: their ids, all advertisers' embedded texts,
    and what it says to those who convert with them if it is not told how many did so before (`left_out_named.npy`)."""
    data = bench.fold("test")
    fewer, ids = leave_out(data.examples, LEFT_OUT, np.random.default_rng(0))
    probabilities, cost = llm(bench, "test", "left_out-s0", 0, LLM, fewer)
    work = bench.out / "work" / "test-left_out-s0"
    np.save(bench.out / "test" / "text.npy", load_head(work).tensors["text"].numpy())
    rows, _ = of_left_out(data.labels, ids, fewer.catalogue)
    told = fewer.catalogue["conversions"].where(~fewer.catalogue["advertiser_id"].isin(ids), 0)
    named = LLMPredictor.load(work, bench.base, model_version="named", settings=LLM, cache=bench.out / "kept")
    said = named.with_catalogue(fewer.catalogue.assign(conversions=told)).probabilities(data.contexts.take(rows))
    np.save(bench.out / "test" / "left_out_named.npy", said)
    return probabilities, {**cost, "left_out": ids.tolist()}


def pieces(bench: Bench) -> dict[str, Callable[[], None]]:
    """Every piece by name, in the order in which they are made."""
    made: dict[str, Callable[[], None]] = {}

    def cheap(source: str) -> Callable[[], None]:
        def make() -> None:
            settings = tuned_settings(bench, source)
            for fold in ("validation", "test"):
                bench.keep(fold, source, lambda fold=fold: baseline(bench, fold, source, settings))  # type: ignore[misc]

        return make

    def large(fold: str, name: str, seed: int, settings: LLMSettings) -> Callable[[], None]:
        return lambda: bench.keep(fold, name, lambda: llm(bench, fold, name, seed, settings))

    def second_seed(source: str) -> Callable[[], None]:
        def make() -> None:
            settings = tuned_settings(bench, source)
            other = getattr(settings, source).model_copy(update={"seed": 1})
            changed = settings.model_copy(update={source: other})
            bench.keep("test", f"{source}-s1", lambda: baseline(bench, "test", source, changed))

        return make

    for source in BASELINES:
        made[source] = cheap(source)
    made["llm-validation"] = large("validation", "llm", 0, LLM)
    for seed in SEEDS:
        made[f"llm-s{seed}"] = large("test", f"llm-s{seed}", seed, LLM)
    for source in SEEDED:
        made[f"{source}-s1"] = second_seed(source)
    made["left-out"] = lambda: bench.keep("test", "left_out-s0", lambda: left_out(bench))
    random = LLM.model_copy(update={"weights": "random"})
    made["random-s0"] = large("test", "llm_random-s0", 0, random)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=Path("var/base_models/smollm2-135m"))
    parser.add_argument("--out", type=Path, default=Path("var/quality"))
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    every = pieces(Bench(given.data, given.base, given.out))
    for name in given.only or every:
        every[name]()


if __name__ == "__main__":
    main()
