"""One training run of the advertiser LLM: its model, schedule and steps, and the state from which a killed one goes on.

Batches and dropout are drawn from (seed, step), so that a resumed run reaches the weights of an unbroken one. It knows
neither how its sample was drawn nor who publishes what it writes.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.contexts.render import PROMPT_VERSION
from ml.llm import checkpoint
from ml.llm.base_model import load_base_model, weights_fingerprint
from ml.llm.batches import Layout, training_batches
from ml.llm.frozen import frozen_key
from ml.llm.head import AdvertiserHead, log_popularity
from ml.llm.interests import InterestHead
from ml.llm.lora import add_adapters, merge, trainable
from ml.llm.objective import Losses, Objective
from ml.llm.optimizer import MasterAdamW
from ml.llm.probe import Compute
from ml.llm.probe_prompts import PROMPTS, save_probe
from ml.llm.reader import open_reader
from ml.llm.reading import advertiser_lines, embed_lines, read_layout
from ml.llm.sample import Sample
from ml.llm.settings import LLMSettings
from ml.llm.teacher import Teacher
from ml.llm.tokens import LineTokenizer
from ml.llm.validation import fit_temperature, validation_metrics
from ml.progress import Progress

CENTRE_PROMPTS = 64
"""Training prompts whose mean state becomes the head's centre."""

LogEntry = dict[str, float]
OnLog = Callable[[LogEntry], None]


class TrainingRun:
    """Model, heads, schedule, and what has been logged so far.

    Args:
        sample: what is trained and validated on.
        catalogue: advertisers in the order of the head.
        teacher: of soft targets, if any.
        base: directory of the base model.
        settings: see LLMSettings.
        seed: draws batches, dropout and adapters.
        compute: device, number format, threads.
        tokenizer: of the base model.
    """

    def __init__(
        self,
        sample: Sample,
        catalogue: pd.DataFrame,
        teacher: Teacher | None,
        base: Path,
        settings: LLMSettings,
        seed: int,
        compute: Compute,
        tokenizer: LineTokenizer,
    ) -> None:
        self.sample, self.catalogue, self.base, self.settings = sample, catalogue, base, settings
        self.seed, self.compute, device = seed, compute, compute.device
        random = seed if settings.weights == "random" else None
        model = load_base_model(base, compute.dtype, device, random=random)
        text = embed_lines(model, advertiser_lines(catalogue), tokenizer, settings.score_batch_tokens, device)
        some = sample.train.take(np.arange(min(CENTRE_PROMPTS, len(sample.train.prompts))))
        centre = read_layout(model, some, settings.score_batch_tokens, device).mean(axis=0)
        head = AdvertiserHead.start(text, centre, sample.popularity, catalogue["conversions"].to_numpy()).to(device)
        interests = _interest_head(sample, centre, settings, device)
        self.objective = Objective(head, interests, teacher, sample, settings, seed, device)
        self.model = add_adapters(model, settings, seed)
        self.batches = _schedule(sample.train, settings, seed)
        self.optimizer = MasterAdamW(trainable(self.model), self.objective.learned, settings, len(self.batches))
        self.curve: list[LogEntry] = []
        self.recent: list[Losses] = []
        self.tokens, self.seconds = 0, 0.0
        self.cpu_seconds, self._since = 0.0, time.process_time()

    def open(self, cache: Path, progress: Progress) -> None:
        """Make ready what is read in every epoch."""
        layouts = [self.sample.train, self.sample.validation]
        kept = cache / frozen_key(self.base, self.settings, self.compute.dtype, self.seed)
        self.reader = open_reader(self.model, layouts, self.settings, kept, self.compute.device, progress)

    def learn(self, work: Path, state: dict[str, Any] | None, progress: Progress, on_log: OnLog | None) -> None:
        """Take every step that `state` has not taken yet."""
        steps, lengths = len(self.batches), self.sample.train.lengths
        measured = set(np.linspace(0, steps, self.settings.validation_points).round().astype(int).tolist())
        total = sum(int(lengths[rows].sum()) for rows in self.batches)
        start = 0
        if state:
            self._restore(state)
            start = state["step"]
        else:
            self._log({"step": 0, "tokens": 0, "validation_loss": self._validation_loss()}, on_log)
        for step in range(start, steps):
            began = time.perf_counter()
            self.recent.append(self._step(step))
            self.seconds += time.perf_counter() - began
            self.tokens += int(lengths[self.batches[step]].sum())
            progress(self.tokens, total, "tokens")
            done = step + 1
            if done % self.settings.log_every == 0 or done in measured:
                means = {name: float(np.mean([step[name] for step in self.recent])) for name in self.recent[0]}
                entry = {"step": done, "tokens": self.tokens, **means}
                if done in measured:
                    entry["validation_loss"] = self._validation_loss()
                self.recent = []
                self._log(entry, on_log)
            if done % self.settings.save_every == 0 and done < steps:
                checkpoint.save_state(work, self._state(done))

    def write(self, known_until: date, work: Path) -> None:
        """Fit the temperature, measure, and write the checkpoint."""
        sample, target, objective = self.sample, self.sample.validation_target, self.objective
        hidden = self.reader.all(sample.validation)
        logits = objective.logits(hidden)
        temperature = fit_temperature(logits, target)
        losses = [entry["validation_loss"] for entry in self.curve if "validation_loss" in entry]
        config = {
            "settings": self.settings.model_dump(mode="json"),
            "base_model": self.settings.base_model,
            "base_fingerprint": weights_fingerprint(self.base, self.settings, self.seed),
            "known_until": known_until.isoformat(),
            "prompt_version": PROMPT_VERSION,
            "seed": self.seed,
            "dtype": self.compute.dtype,
            "device": self.compute.device,
            "threads": self.compute.threads,
            "steps": len(self.batches),
            "temperature": temperature,
            "counts": sample.counts,
            "metrics": {
                "validation_loss_start": losses[0],
                "validation_loss_end": losses[-1],
                **validation_metrics(logits, target, log_popularity(sample.popularity), temperature),
                **objective.judge_interests(hidden),
            },
            "interests": objective.interests.names if objective.interests else [],
        }
        speed = round(self.tokens / max(self.seconds, 1e-9), 1)
        self._save_probe(work, temperature)
        checkpoint.write_checkpoint(
            work,
            model=self.model,
            head=objective.head,
            interests=objective.interests,
            catalogue=self.catalogue,
            config=config,
            compute={**self.compute.as_dict(), "train_tokens_per_second": speed, "cpu_seconds": self._cpu()},
            loss_curve=self.curve,
        )

    def _save_probe(self, work: Path, temperature: float) -> None:
        """Score a few prompts with the adapters merged, as whoever reloads the checkpoint will."""
        layout = self.sample.validation.take(np.arange(min(PROMPTS, len(self.sample.validation.prompts))))
        merged = merge(copy.deepcopy(self.model))
        hidden = read_layout(merged, layout, self.settings.score_batch_tokens, self.compute.device)
        save_probe(work, layout, *self.objective.forecasts(hidden, temperature))

    def _step(self, step: int) -> Losses:
        """One optimizer step: its losses and gradient norm."""
        hidden, reads = self.reader.batch(self.sample.train, self.batches[step])
        joint, told = self.objective.loss(hidden, reads, step)
        return {**told, "grad_norm": self.optimizer.step(step, joint)}

    def _validation_loss(self) -> float:
        return self.objective.validation_loss(self.reader.all(self.sample.validation))

    def _log(self, entry: LogEntry, on_log: OnLog | None) -> None:
        self.curve.append(entry)
        if on_log is not None:
            on_log(entry)

    def _state(self, step: int) -> dict[str, Any]:
        return {
            "step": step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "cpu_seconds": self._cpu(),
            "curve": self.curve,
            "recent": self.recent,
            "compute": self.compute.as_dict(),
            "optimizer": self.optimizer.state(),
        }

    def _cpu(self) -> float:
        """CPU seconds so far, those of killed attempts up to their last resume point among them."""
        return round(self.cpu_seconds + time.process_time() - self._since, 2)

    def _restore(self, state: dict[str, Any]) -> None:
        self.tokens, self.seconds = state["tokens"], state["seconds"]
        self.cpu_seconds = state["cpu_seconds"]
        self.curve, self.recent = list(state["curve"]), list(state["recent"])
        self.optimizer.restore(state["optimizer"])


def _interest_head(sample: Sample, centre: np.ndarray, settings: LLMSettings, device: str) -> InterestHead | None:
    """None where it has no weight, or no interest is frequent enough."""
    head = InterestHead.start(sample.train_interest, centre)
    return head.to(device) if settings.interest_weight and head.names else None


def _schedule(train: Layout, settings: LLMSettings, seed: int) -> list[np.ndarray]:
    """Prompt rows of every step of the run; prompts in which nothing is left to read are skipped."""
    rows = np.unique(train.prompt)
    lengths = train.lengths[rows]
    return [
        rows[batch]
        for epoch in range(settings.epochs)
        for batch in training_batches(lengths, settings.batch_tokens, np.random.default_rng([seed, 1, epoch]))
    ]
