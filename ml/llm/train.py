"""Fine-tunes the advertiser LLM: LoRA on the top layers plus the advertiser head, one pass a prompt.

A run is a function of examples, base model, settings, seed and compute choice (see `ml.llm.training_run`), so a killed
one goes on from its last resume point to the weights an unbroken one reaches. It does not publish what it writes, and
knows no tracker: `on_log` gets each entry of the loss curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml.contexts.stream import TrainingExamples
from ml.llm import checkpoint
from ml.llm.probe import Compute, choose_compute, use_threads
from ml.llm.sample import draw_sample
from ml.llm.settings import LLMSettings
from ml.llm.teacher import Teacher
from ml.llm.tokens import LineTokenizer
from ml.llm.training_run import LogEntry, OnLog, TrainingRun
from ml.progress import Progress, silent


@dataclass(frozen=True)
class TrainingResult:
    """What a training run leaves; the checkpoint itself lies in `work`.

    Attributes:
        loss_curve: entries with `step`, `tokens` and some of `loss` (of the advertisers), `interest_loss`, `grad_norm`
            (means since the last entry) and `validation_loss`.
        metrics: validation figures beside popularity's, and the validation loss at start and end.
        counts: users, tokens and targets used, and targets left out by reason.
        compute: device, dtype, threads, training tokens a second, and CPU seconds.
        temperature: what logits are divided by.
        config: as written to `config.json`.
    """

    loss_curve: list[LogEntry]
    metrics: dict[str, float]
    counts: dict[str, int]
    compute: dict[str, Any]
    temperature: float
    config: dict[str, Any]


def train(
    examples: TrainingExamples,
    base: Path,
    settings: LLMSettings,
    *,
    seed: int,
    work: Path,
    cache: Path | None = None,
    progress: Progress = silent,
    on_log: OnLog | None = None,
) -> TrainingResult:
    """Fine-tune on a seeded sample of the examples and write the checkpoint into `work`.

    Args:
        examples: streams and targets, all known by `examples.contexts.as_of`.
        base: directory of the base model, see `fetch_base_model`.
        settings: see LLMSettings.
        seed: draws the sample, the batches, the dropout and the adapters.
        work: directory to write into; holds the resume state of an earlier, killed call with the same arguments.
        cache: where states of frozen layers are kept for other runs (see `ml.llm.frozen`); by default in `work`,
            and dropped at the end.
        progress: told the tokens done, first those of the frozen layers.
        on_log: told each entry of the loss curve as it is made; what it raises stops the run.

    Raises:
        BadInput: nothing to train on, an unfit base model, or a loss that is no longer a number.
    """
    if checkpoint.is_complete(work):
        return _finished(work)
    state = checkpoint.load_state(work)
    compute = Compute(**state["compute"]) if state else choose_compute(base, settings)
    with use_threads(compute.threads):
        tokenizer = LineTokenizer(base)
        sample = draw_sample(examples, tokenizer, settings, np.random.default_rng([seed, 0]))
        teacher = Teacher.fit(examples, sample.held_out) if settings.cooccurrence_share else None
        run = TrainingRun(sample, examples.catalogue, teacher, base, settings, seed, compute, tokenizer)
        run.open(cache or work / checkpoint.FROZEN, progress)
        run.learn(work, state, progress, on_log)
        run.write(examples.contexts.as_of, work)
    return _finished(work)


def _finished(work: Path) -> TrainingResult:
    config, curve = checkpoint.read_json(work, checkpoint.CONFIG), checkpoint.read_json(work, checkpoint.LOSS_CURVE)
    compute = checkpoint.read_json(work, checkpoint.COMPUTE)
    return TrainingResult(curve, config["metrics"], config["counts"], compute, config["temperature"], config)
