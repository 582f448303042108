"""Recall of the one pass and of names written, on the same users of amazon14's validation fold (for row P1).

Either way is fine-tuned on the same budget of prompt tokens, drawn by the same seed, with the same adapters; by name
learns one purchase a user, and reads the names on top. Both of its readings are shown, and the base model as it is. The
test window is not read. Run by `python -m benchmarks.by_name`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import Row
from ml.contexts.stream import UserContexts
from ml.evaluation.bootstrap import Resamples, ratio_of_sums
from ml.llm.by_name.source import ByNameSettings, LLMByName
from ml.llm.predictor import LLMPredictor
from ml.llm.settings import LLMSettings
from ml.llm.train import train
from ml.predictors.base import AdvertiserPredictor
from ml.predictors.fold import Fold

KS = (1, 10, 20)
BEAM = 50


def sources(fold: Fold, given: argparse.Namespace) -> dict[str, tuple[str, AdvertiserPredictor]]:
    """Every way, fitted, with what was learned from."""
    settings = LLMSettings(
        train_tokens=given.train_tokens,
        validation_share=0.05,
        validation_points=2,
        batch_tokens=2048,
        dtype=given.dtype,
    )
    with tempfile.TemporaryDirectory() as work:
        trained = train(fold.examples, given.base, settings, seed=0, work=Path(work))
        one = LLMPredictor.load(Path(work), given.base, model_version="one-pass", settings=settings)
    named = LLMByName(given.base, ByNameSettings(llm=settings, beam=BEAM)).fit(fold.examples)
    untrained = LLMByName(given.base, ByNameSettings(llm=settings, beam=BEAM, zero_shot=True)).fit(fold.examples)
    assert named.learned is not None
    learned = [
        f"{c['train_users']:,} users, {c['train_tokens']:,} tokens, {c['train_targets']:,} targets"
        for c in (trained.counts, named.learned.counts)
    ]
    return {
        "one_pass": (f"one pass ({learned[0]})", one),
        "by_name": (f"by name, renormalised over the catalogue ({learned[1]})", named),
        "by_name.raw": ("the same, probabilities over the whole vocabulary", named.read_as("vocabulary")),
        "zero_shot": ("by name, zero-shot", untrained),
        "zero_shot.raw": ("the same, probabilities over the whole vocabulary", untrained.read_as("vocabulary")),
    }


def hits(source: AdvertiserPredictor, fold: Fold) -> np.ndarray:
    """Whether each label is among the first k, for each of KS, shape (n_labels, len(KS))."""
    table = source.predict(fold.contexts, max(KS))
    found = table["advertiser_id"].to_numpy().reshape(len(fold.labels), max(KS))
    hit = found == fold.labels["advertiser_id"].to_numpy()[:, None]
    return np.stack([hit[:, :k].any(axis=1) for k in KS], axis=1).astype(float)


def proven(source: LLMByName, contexts: UserContexts) -> float:
    """Share of users whose top 10 names no dropped hypothesis can enter: those an exhaustive search finds."""
    found = [names.score[:, 9] >= names.bound for _, names in source.search(contexts, BEAM)]
    return float(np.concatenate(found).mean())


def recall_rows(fold: Fold, given: argparse.Namespace) -> list[Row]:
    """Recall of each, the paired differences to the one pass, and what a prediction costs."""
    chosen = np.random.default_rng(0).permutation(len(fold.labels))[: given.judged]
    judged = fold.take(np.sort(chosen))
    resamples = Resamples(len(judged.labels), 1000, np.random.default_rng(0))
    everyone = np.ones(len(judged.labels))
    rows: list[Row] = []
    base = np.empty(0)
    for name, (what, source) in sources(fold, given).items():
        start = time.process_time()
        hit = hits(source, judged)
        cpu = 1000 * (time.process_time() - start) / len(hit)
        base = hit if name == "one_pass" else base
        rows.append({"id": f"P1.cpu.{name}", "what": f"{what}: per 1,000 users", "value": cpu, "unit": "CPU s"})
        for at, k in enumerate(KS):
            found = resamples.interval(ratio_of_sums(hit[:, at], everyone))
            row: Row = {"id": f"P1.recall@{k}.{name}", "what": f"{what}: recall@{k}, {len(hit)} users"}
            rows.append(row | {"value": found.value, "low": found.low, "high": found.high})
            if name != "one_pass":
                less = resamples.interval(ratio_of_sums(base[:, at] - hit[:, at], everyone))
                row = {"id": f"P1.gain@{k}.{name}", "what": f"recall@{k} of the one pass less that of: {what}"}
                row |= {"value": less.value, "low": less.low, "high": less.high, "against": name}
                rows.append(row | ({"target": ">= 0 (no worse)"} if k == 10 else {}))
        if isinstance(source, LLMByName):
            share = proven(source, judged.contexts.take(np.arange(min(100, len(judged.labels)))))
            what = f"{what}: users whose top 10 is proven to be the exhaustive one at beam {BEAM}"
            rows.append({"id": f"P1.proven.{name}", "what": what, "value": share})
    return rows
