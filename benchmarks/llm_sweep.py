"""What is worth doing to the one-pass LLM: trials on amazon14's validation fold, as nested MLflow runs.

    python -m benchmarks.llm_sweep --data <amazon14> --out var/llm-sweep [--only NAME ...]

Each trial changes the default in one thing. All train on the same users (seed 0) and are judged on the same
validation users, paired; states of frozen layers are kept in --out and shared. A finished trial is not run again. The
test window is not read. Writes docs/results/llm-sweep.json and .md; `mlflow ui --backend-store-uri
sqlite:///<out>/mlflow.db` compares the trials.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.amazon14 import VALIDATION, read_fold
from benchmarks.harness import Row, write_results
from ml.artifacts import write_json
from ml.evaluation.bootstrap import Resamples, ratio_of_sums
from ml.llm.predictor import LLMPredictor
from ml.llm.settings import LLMSettings
from ml.llm.train import train
from ml.predictors.fold import Fold

TOKENS_A_USER = 80
TRIALS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("one pass over the users, default settings", {}),
    "head-fast": ("head learning rate 3e-3", {"head_learning_rate": 3e-3}),
    "adapters-slow": ("adapter learning rate 1e-3", {"adapter_learning_rate": 1e-3}),
    "teacher-.5-fast": (
        "the same, head learning rate 3e-3",
        {"cooccurrence_share": 0.5, "head_learning_rate": 3e-3},
    ),
    "teacher-.8-fast": (
        "four fifths of the loss from co-occurrence, head learning rate 3e-3",
        {"cooccurrence_share": 0.8, "head_learning_rate": 3e-3},
    ),
    "epochs-3": ("three passes over the same users", {"epochs": 3}),
    "epochs-3-decay": ("three passes, residual decay 0.3", {"epochs": 3, "residual_decay": 0.3}),
    "layers-12": ("12 of 30 layers adapted", {"adapted_layers": 0.4}),
    "rank-64": ("rank 64", {"lora_rank": 64, "lora_alpha": 128}),
    "mlp": (
        "MLP adapted as well",
        {"lora_modules": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")},
    ),
    "stream-96": ("prompts of 96 tokens", {"max_prompt_tokens": 96}),
    "random": ("random weights in place of the pretrained", {"weights": "random"}),
}


def settings_of(changes: dict[str, Any], users: int) -> LLMSettings:
    """The default with some changes, for a number of training users."""
    base = LLMSettings(validation_share=0.05, validation_points=2, batch_tokens=2048, log_every=10, **changes)
    return base.model_copy(update={"train_tokens": users * TOKENS_A_USER * base.epochs})


def run_trial(name: str, fold: Fold, given: argparse.Namespace) -> dict[str, Any]:
    """Train and judge one trial; its ranks, log losses and cost, kept in --out."""
    place = given.out / name
    if (place / "result.json").exists():
        return dict(json.loads((place / "result.json").read_text()))
    work = place / "work"
    work.mkdir(parents=True, exist_ok=True)
    settings = settings_of(TRIALS[name][1], given.users)
    start = time.process_time()
    trained = train(fold.examples, given.base, settings, seed=0, work=work, cache=given.out / "kept")
    seconds = time.process_time() - start
    predictor = LLMPredictor.load(work, given.base, model_version=name, settings=settings, cache=given.out / "kept")
    probabilities = predictor.probabilities(fold.contexts)
    rows, column = np.arange(len(fold.labels)), fold.column
    mine = probabilities[rows, column]
    result = {
        "settings": settings.model_dump(mode="json"),
        "ranks": ((probabilities > mine[:, None]).sum(axis=1) + 1).tolist(),
        "log_loss": (-np.log(mine)).tolist(),
        "cpu_seconds": seconds,
        "counts": trained.counts,
        "curve": trained.loss_curve,
        "metrics": trained.metrics,
    }
    write_json(place / "result.json", result)
    return result


def figures(result: dict[str, Any], fold: Fold) -> dict[str, np.ndarray]:
    """Each metric's value for each judged user (nan: does not count), shape (n_users,)."""
    ranks = np.array(result["ranks"])
    hits = {k: (ranks <= k).astype(float) for k in (1, 10, 20)}
    return {
        "ndcg@20": np.where(ranks <= 20, 1 / np.log2(ranks + 1), 0.0),
        **{f"recall@{k}": hit for k, hit in hits.items()},
        **{f"new_recall@{k}": np.where(fold.is_new, hits[k], np.nan) for k in (10, 20)},
        "log_loss": np.array(result["log_loss"]),
    }


def rows_of(results: dict[str, dict[str, Any]], fold: Fold) -> list[Row]:
    """Value and paired difference to the default, with 95 % intervals over users."""
    resamples = Resamples(len(fold.labels), 1000, np.random.default_rng(0))
    rows: list[Row] = []
    base = figures(results["default"], fold)
    for name, result in results.items():
        what, cpu = TRIALS[name][0], result["cpu_seconds"]
        rows.append({"id": f"{name}.cpu", "what": f"{what}: training", "value": cpu, "unit": "CPU s"})
        for metric, values in figures(result, fold).items():
            shown = values - base[metric] if name != "default" else values
            counted = np.isfinite(shown).astype(float)
            found = resamples.interval(ratio_of_sums(np.nan_to_num(shown), counted))
            row = {"id": f"{name}.{metric}", "what": f"{what}: {metric}", "unit": ""}
            row |= {"value": found.value, "low": found.low, "high": found.high}
            rows.append(row | ({"against": "default"} if name != "default" else {}))
    return rows


def track(results: dict[str, dict[str, Any]], fold: Fold, out: Path) -> None:
    """One MLflow run for the sweep, one nested in it for each trial."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{out / 'mlflow.db'}")
    mlflow.set_experiment("llm-sweep")
    with mlflow.start_run(run_name="amazon14 validation"):
        for name, result in results.items():
            with mlflow.start_run(run_name=name, nested=True):
                mlflow.log_params(result["settings"])
                means = {m.replace("@", "_at_"): float(np.nanmean(v)) for m, v in figures(result, fold).items()}
                mlflow.log_metrics({**means, "cpu_seconds": result["cpu_seconds"]})
                for entry in result["curve"]:
                    values = {k: v for k, v in entry.items() if k not in ("step", "tokens")}
                    mlflow.log_metrics(values, step=int(entry["step"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=Path("var/base_models/smollm2-135m"))
    parser.add_argument("--out", type=Path, default=Path("var/llm-sweep"))
    parser.add_argument("--users", type=int, default=3000)
    parser.add_argument("--judged", type=int, default=2500)
    parser.add_argument("--only", nargs="*", default=list(TRIALS))
    given = parser.parse_args()
    fold = read_fold(given.data, VALIDATION, given.out / "amazon14")
    fold = fold.take(np.sort(np.random.default_rng(0).permutation(len(fold.labels))[: given.judged]))
    results = {name: run_trial(name, fold, given) for name in TRIALS if name in {"default", *given.only}}
    rows = rows_of(results, fold)
    track(results, fold, given.out)
    command = f"python -m benchmarks.llm_sweep --data <amazon14> --users {given.users} --judged {given.judged}"
    counts = results["default"]["counts"]
    read = f"{counts['train_users']:,} training users ({counts['train_tokens']:,} tokens)"
    notes = (
        f"Validation fold of amazon14 ({len(fold.labels):,} users judged), {read}, seed 0. "
        "The first trial's values; of the others the paired difference to it. 95 % intervals over users."
    )
    if any("interest_weight" not in result["settings"] for result in results.values()):
        notes += " Trained before there was an interests head."
    write_results("llm-sweep", rows, command=command, notes=notes)


if __name__ == "__main__":
    main()
