"""Fine-tunes the advertiser LLM: LoRA on the top layers plus the advertiser head, one pass a prompt.

The loss is the full cross-entropy over the catalogue at every conversion of a stream (never over the
vocabulary). A run is a function of examples, base model, settings, seed and compute choice: batches and
dropout are drawn from (seed, step), so a killed run goes on from its last resume point to the weights an
unbroken one reaches. It does not publish what it writes, and knows no tracker: `on_log` gets each entry of
the loss curve.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ml.artifacts import fingerprint_of
from ml.contexts.render import PROMPT_VERSION
from ml.contexts.stream import TrainingExamples
from ml.errors import BadInput
from ml.llm import checkpoint
from ml.llm.base_model import base_fingerprint, load_base_model
from ml.llm.batches import Layout, training_batches
from ml.llm.head import AdvertiserHead, log_popularity
from ml.llm.interests import InterestHead
from ml.llm.lora import add_adapters, merge, trainable
from ml.llm.optimizer import MasterAdamW
from ml.llm.probe import Compute, choose_compute, use_threads
from ml.llm.probe_prompts import PROMPTS, save_probe
from ml.llm.reader import open_reader
from ml.llm.reading import advertiser_lines, embed_lines, read_layout
from ml.llm.sample import Sample, draw_sample
from ml.llm.settings import LLMSettings
from ml.llm.teacher import Teacher
from ml.llm.tokens import LineTokenizer
from ml.llm.validation import fit_temperature, log_loss, log_softmax, validation_metrics
from ml.progress import Progress, silent

if TYPE_CHECKING:
    import torch

CENTRE_PROMPTS = 64
"""Training prompts whose mean state becomes the head's centre."""

UNTOLD_SHARE = 0.5
"""Share of the advertisers without residual and bias, in a step, of whom no conversion is told either."""

LogEntry = dict[str, float]
Step = dict[str, float]
OnLog = Callable[[LogEntry], None]


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
        run = _Run(sample, base, settings, seed, compute, tokenizer, examples.catalogue)
        run.teacher = Teacher.fit(examples, sample.held_out) if settings.cooccurrence_share else None
        run.open(cache or work / checkpoint.FROZEN, progress)
        run.learn(work, state, progress, on_log)
        run.write(examples, work)
    return _finished(work)


def _finished(work: Path) -> TrainingResult:
    config, curve = checkpoint.read_json(work, checkpoint.CONFIG), checkpoint.read_json(work, checkpoint.LOSS_CURVE)
    compute = checkpoint.read_json(work, checkpoint.COMPUTE)
    return TrainingResult(curve, config["metrics"], config["counts"], compute, config["temperature"], config)


class _Run:
    """One training run: model, head, schedule and what has been logged so far."""

    def __init__(
        self,
        sample: Sample,
        base: Path,
        settings: LLMSettings,
        seed: int,
        compute: Compute,
        tokenizer: LineTokenizer,
        catalogue: pd.DataFrame,
    ) -> None:
        self.sample, self.base, self.settings, self.seed, self.compute = sample, base, settings, seed, compute
        random = seed if settings.weights == "random" else None
        model = load_base_model(base, compute.dtype, compute.device, random=random)
        conversions = catalogue["conversions"].to_numpy()
        text = embed_lines(model, advertiser_lines(catalogue), tokenizer, settings.score_batch_tokens, compute.device)
        some = sample.train.take(np.arange(min(CENTRE_PROMPTS, len(sample.train.prompts))))
        centre = read_layout(model, some, settings.score_batch_tokens, compute.device).mean(axis=0)
        self.head = AdvertiserHead.start(text, centre, sample.popularity, conversions).to(compute.device)
        self.interests = _interest_head(sample, centre, settings, compute.device)
        self.model = add_adapters(model, settings, seed)
        self.batches = _schedule(sample.train, settings, seed)
        learned = {**self.head.learned, **(self.interests.learned if self.interests else {})}
        self.optimizer = MasterAdamW(trainable(self.model), learned, settings, len(self.batches))
        self.teacher: Teacher | None = None
        self.curve: list[LogEntry] = []
        self.recent: list[Step] = []
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

    def write(self, examples: TrainingExamples, work: Path) -> None:
        """Fit the temperature, measure, and write the checkpoint."""
        sample, target = self.sample, self.sample.validation_target
        hidden = self.reader.all(sample.validation)
        logits = self._logits(hidden)
        temperature = fit_temperature(logits, target)
        beside = (
            self.interests.judge(hidden, self.interests.columns(sample.validation_interest)) if self.interests else {}
        )
        losses = [entry["validation_loss"] for entry in self.curve if "validation_loss" in entry]
        config = {
            "settings": self.settings.model_dump(mode="json"),
            "base_model": self.settings.base_model,
            "base_fingerprint": weights_fingerprint(self.base, self.settings, self.seed),
            "known_until": examples.contexts.as_of.isoformat(),
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
                **beside,
            },
            "interests": self.interests.names if self.interests else [],
        }
        speed = round(self.tokens / max(self.seconds, 1e-9), 1)
        self._save_probe(work, temperature)
        checkpoint.write_checkpoint(
            work,
            model=self.model,
            head=self.head,
            interests=self.interests,
            catalogue=examples.catalogue,
            config=config,
            compute={**self.compute.as_dict(), "train_tokens_per_second": speed, "cpu_seconds": self._cpu()},
            loss_curve=self.curve,
        )

    def _save_probe(self, work: Path, temperature: float) -> None:
        """Score a few prompts with the adapters merged, as whoever reloads the checkpoint will."""
        import torch

        layout = self.sample.validation.take(np.arange(min(PROMPTS, len(self.sample.validation.prompts))))
        merged = merge(copy.deepcopy(self.model))
        hidden = read_layout(merged, layout, self.settings.score_batch_tokens, self.compute.device)
        with torch.inference_mode():
            logits = self.head.logits(torch.from_numpy(hidden).to(self.compute.device)).cpu().numpy()
        interests = self.interests.probabilities(hidden) if self.interests else None
        save_probe(work, layout, np.exp(log_softmax(logits / temperature)), interests)

    def _step(self, step: int) -> Step:
        """One optimizer step: its losses and gradient norm."""
        import torch

        hidden, reads = self.reader.batch(self.sample.train, self.batches[step])
        target = torch.from_numpy(self.sample.train_target[reads])
        logits = self.head.training_logits(hidden, *self._dropout(step))
        loss = torch.nn.functional.cross_entropy(logits, target.to(self.compute.device))
        if self.teacher is not None:
            says = torch.from_numpy(self.teacher.probabilities(self.sample.train_row[reads])).to(self.compute.device)
            share = self.settings.cooccurrence_share
            loss = (1 - share) * loss + share * torch.nn.functional.cross_entropy(logits, says)
        told, joint = {"loss": float(loss.detach())}, loss
        if self.interests is not None:
            beside = self.interests.loss(hidden, self.interests.columns(self.sample.train_interest.iloc[reads]))
            told["interest_loss"], joint = float(beside.detach()), loss + self.settings.interest_weight * beside
        if not bool(torch.isfinite(joint)):
            raise BadInput(
                f"the training loss is {float(joint.detach())}",
                where=f"advertiser LLM, step {step + 1} of {len(self.batches)}",
                remedy="lower adapter_learning_rate and head_learning_rate, or set dtype: float32",
            )
        return {**told, "grad_norm": self.optimizer.step(step, joint)}

    def _dropout(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Which advertisers keep residual and bias in a step, and which of the others what is known of them."""
        import torch

        rng, n = np.random.default_rng([self.seed, 2, step]), len(self.sample.popularity)
        kept, told = rng.random(n) >= self.settings.advertiser_dropout, rng.random(n) >= UNTOLD_SHARE
        return torch.from_numpy(kept).to(self.compute.device), torch.from_numpy(told).to(self.compute.device)

    def _logits(self, hidden: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            logits: np.ndarray = self.head.logits(torch.from_numpy(hidden).to(self.compute.device)).cpu().numpy()
        return logits

    def _validation_loss(self) -> float:
        return log_loss(self._logits(self.reader.all(self.sample.validation)), self.sample.validation_target)

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


def weights_fingerprint(base: Path, settings: LLMSettings, seed: int) -> str:
    """Of the weights the adapters stand on."""
    found = base_fingerprint(base)
    return found if settings.weights == "pretrained" else f"{found}-random-{seed}"


def frozen_key(base: Path, settings: LLMSettings, dtype: str, seed: int) -> str:
    """Names the directory of kept states that a run may share: same weights, number format and adapted layers."""
    return fingerprint_of([weights_fingerprint(base, settings, seed), dtype, settings.adapted_layers])


def _schedule(train: Layout, settings: LLMSettings, seed: int) -> list[np.ndarray]:
    """Prompt rows of every step of the run; prompts in which nothing is left to read are skipped."""
    rows = np.unique(train.prompt)
    lengths = train.lengths[rows]
    return [
        rows[batch]
        for epoch in range(settings.epochs)
        for batch in training_batches(lengths, settings.batch_tokens, np.random.default_rng([seed, 1, epoch]))
    ]
