"""Short fine-tuning on names: after the prompt of a purchase, the name of whoever it was with.

    loss = mean over purchases of -log P(name | prompt), all tokens of the vocabulary

One purchase a user, the last one in the catalogue: a name would have to be read at every further one. Sample, adapters,
optimizer and kept states of frozen layers are those of the one pass (`ml.llm.train`). Deterministic on one thread.
It resumes nothing and writes nothing: a control for comparisons, trained where it is used.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ml.contexts.stream import TrainingExamples
from ml.errors import BadInput
from ml.llm.batches import Layout, training_batches
from ml.llm.by_name.reader import vocabulary_matrix
from ml.llm.by_name.trie import Names
from ml.llm.lora import add_adapters, merge, trainable
from ml.llm.optimizer import MasterAdamW
from ml.llm.reader import Reader, open_reader
from ml.llm.sample import draw_sample
from ml.llm.settings import LLMSettings
from ml.llm.tokens import LineTokenizer
from ml.progress import Progress, silent

if TYPE_CHECKING:
    import torch

TOKENS_OF_HEAD = 256
"""Name tokens whose logits stand in memory together when nothing is learned."""


@dataclass(frozen=True)
class Learned:
    """What a training run leaves.

    Attributes:
        model: the transformer with the adapters merged.
        losses: nats a name: `train` (mean over the steps of each epoch), `validation_start`, `validation_end`.
        counts: users and tokens read, and names learned from.
    """

    model: torch.nn.Module
    losses: dict[str, Any]
    counts: dict[str, int]


def train_names(
    examples: TrainingExamples,
    names: Names,
    model: torch.nn.Module,
    tokenizer: LineTokenizer,
    settings: LLMSettings,
    *,
    seed: int,
    device: str,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Learned:
    """Fine-tune `model` (which is used up) on a seeded sample of the examples.

    Args:
        examples: streams and targets.
        names: of the catalogue of the examples, in its order.
        model: the base without its head.
        tokenizer: of the base.
        settings: sample, adapters and optimizer; `train_tokens` counts prompts, as for the one pass, names come on top.
        seed: draws sample, batches and adapters.
        device: where the model computes.
        cache: directory of `ml.llm.frozen.FrozenStates` that fits base, number format and adapted layers.
        progress: told the tokens done.

    Raises:
        BadInput: nothing to train on, an unfit base model, or a loss that is no longer a number.
    """
    import torch

    weight = vocabulary_matrix(model).float()
    sample = draw_sample(last_targets(examples), tokenizer, settings, np.random.default_rng([seed, 0]))
    train, target = with_names(sample.train, sample.train_target, names)
    held_out, expected = with_names(sample.validation, sample.validation_target, names)
    adapted = add_adapters(model, settings, seed)
    batches = [
        rows
        for epoch in range(settings.epochs)
        for rows in training_batches(train.lengths, settings.batch_tokens, np.random.default_rng([seed, 1, epoch]))
    ]
    adamw = MasterAdamW(trainable(adapted), {}, settings, len(batches))
    total, done, losses = sum(int(train.lengths[rows].sum()) for rows in batches), 0, []
    with tempfile.TemporaryDirectory() as kept:
        reader = open_reader(adapted, [train, held_out], settings, cache or Path(kept), device, progress)
        start = _loss(reader, held_out, expected, weight)
        for step, rows in enumerate(batches):
            hidden, reads = reader.batch(train, rows)
            token = torch.from_numpy(target[reads]).to(device)
            loss = torch.nn.functional.cross_entropy(hidden @ weight.T, token, reduction="sum") / len(rows)
            if not bool(torch.isfinite(loss)):
                raise BadInput(
                    f"the training loss is {float(loss.detach())}",
                    where=f"advertiser LLM by name, step {step + 1} of {len(batches)}",
                    remedy="lower adapter_learning_rate, or set dtype: float32",
                )
            losses.append(float(loss.detach()))
            adamw.step(step, loss)
            done += int(train.lengths[rows].sum())
            progress(done, total, "tokens")
        end = _loss(reader, held_out, expected, weight)
    by_epoch = [float(np.mean(part)) for part in np.array_split(losses, settings.epochs)]
    counts = {"train_users": len(train.prompts), "train_tokens": done, "train_targets": len(train.prompts)}
    return Learned(merge(adapted), {"train": by_epoch, "validation_start": start, "validation_end": end}, counts)


def last_targets(examples: TrainingExamples) -> TrainingExamples:
    """The examples with each user's last target in the catalogue only."""
    known = examples.targets[examples.targets["advertiser_id"].isin(examples.catalogue["advertiser_id"])]
    last = known.drop_duplicates("user", keep="last").reset_index(drop=True)
    return TrainingExamples(examples.contexts, last, examples.catalogue)


def with_names(layout: Layout, target: np.ndarray, names: Names) -> tuple[Layout, np.ndarray]:
    """Prompts that go on with the name of their target, read at every token that a token of the name follows.

    Args:
        layout: one read a prompt.
        target: shape (n_reads,), catalogue row of each.
        names: of the catalogue.

    Returns:
        The layout, and the token that follows each of its reads, shape (n,), int64.
    """
    following = [names.ids[row] for row in names.of_advertiser[target]]
    before = [
        np.concatenate([layout.prompts[prompt][: token + 1], names.cue])
        for prompt, token in zip(layout.prompt, layout.token, strict=True)
    ]
    prompts = [np.concatenate([start, name[:-1]]) for start, name in zip(before, following, strict=True)]
    count = np.array([len(name) for name in following], dtype=np.int64)
    prompt = np.repeat(np.arange(len(prompts)), count)
    step = np.arange(len(prompt)) - np.repeat(np.cumsum(count) - count, count)
    token = np.array([len(start) for start in before], dtype=np.int64)[prompt] - 1 + step
    named = Layout(prompts, prompt, token, np.arange(len(prompt)), layout.owner[layout.prompt])
    return named, np.concatenate(following).astype(np.int64)


def count_targets(examples: TrainingExamples) -> np.ndarray:
    """Conversions of each advertiser of the catalogue among the targets, shape (n_advertisers,)."""
    column = pd.Index(examples.catalogue["advertiser_id"]).get_indexer(pd.Index(examples.targets["advertiser_id"]))
    return np.bincount(column[column >= 0], minlength=len(examples.catalogue))


def _loss(reader: Reader, layout: Layout, following: np.ndarray, weight: torch.Tensor) -> float:
    """Mean of -log P(name | prompt), nats."""
    import torch

    hidden, total = torch.from_numpy(reader.all(layout)).to(weight.device), 0.0
    with torch.inference_mode():
        for start in range(0, len(hidden), TOKENS_OF_HEAD):
            block = slice(start, start + TOKENS_OF_HEAD)
            token = torch.from_numpy(following[block]).to(weight.device)
            total += float(torch.nn.functional.cross_entropy(hidden[block] @ weight.T, token, reduction="sum"))
    return total / len(layout.prompts)
