"""Which users a training run reads: a seeded sample within the token budget, some held out for validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.contexts.stream import TrainingExamples
from ml.errors import BadInput
from ml.llm.batches import Layout, encode, lay_out
from ml.llm.settings import LLMSettings
from ml.llm.tokens import LineTokenizer

SHORTEST_PROMPT = 4
"""Tokens no prompt falls below: bounds how many users are rendered to fill the budget."""


@dataclass(frozen=True)
class Sample:
    """What a training run reads.

    Attributes:
        train: prompts to learn from, with every target position in them.
        validation: prompts of other users, to measure on.
        train_target: shape (n_train_reads,), catalogue row of each target.
        train_interest: interest of each training target, null where it has none; RangeIndex.
        validation_interest: likewise.
        train_row: shape (n_train_reads,), row of each target in `examples.targets`.
        validation_target: likewise.
        held_out: shape (n,), rows of the validation users in `examples.contexts`, ascending.
        popularity: shape (n_advertisers,), targets of each advertiser among ALL users not held out.
        counts: users, tokens and targets used, and targets left out by reason.
    """

    train: Layout
    validation: Layout
    train_target: np.ndarray
    train_interest: pd.Series
    validation_interest: pd.Series
    train_row: np.ndarray
    validation_target: np.ndarray
    held_out: np.ndarray
    popularity: np.ndarray
    counts: dict[str, int]


def draw_sample(
    examples: TrainingExamples, tokenizer: LineTokenizer, settings: LLMSettings, rng: np.random.Generator
) -> Sample:
    """Users in random order until the training users among them fill `train_tokens / epochs`.

    Raises:
        BadInput: fewer than two users have a target in the catalogue.
    """
    targets = examples.targets
    column = pd.Index(examples.catalogue["advertiser_id"]).get_indexer(pd.Index(targets["advertiser_id"]))
    able = np.unique(targets["user"].to_numpy()[column >= 0])
    if len(able) < 2:
        raise BadInput(
            f"{len(able)} users have a conversion with an advertiser of the catalogue: two are needed to train",
            where=f"training examples of {examples.contexts.as_of}",
            remedy="give more days of logs, or lower min_users",
        )
    budget = settings.train_tokens // settings.epochs
    most = int(budget / (1 - settings.validation_share)) // SHORTEST_PROMPT + 2
    chosen = rng.permutation(able)[:most]
    rows = np.sort(chosen)
    mine = np.flatnonzero((column >= 0) & np.isin(targets["user"], rows))
    lines = encode(examples.contexts.take(rows), tokenizer)
    user = np.searchsorted(rows, targets["user"].to_numpy()[mine])
    layout = lay_out(lines, user, targets["position"].to_numpy()[mine], settings.max_prompt_tokens, exact=False)
    order = np.searchsorted(rows, chosen)  # every chosen user has a target, so prompt i is of user i
    train, held_out = _split(order, layout.lengths, budget, settings.validation_share)
    kept = column >= 0
    kept &= ~np.isin(targets["user"], rows[held_out])
    parts = [layout.take(part) for part in (train, held_out)]
    used = [column[mine[part.request]] for part in parts]
    interest = [targets["interest"].iloc[mine[part.request]].reset_index(drop=True) for part in parts]
    read = np.isin(user, np.concatenate([train, held_out]))
    counts = {
        "train_users": len(train),
        "train_tokens": int(parts[0].lengths.sum()),
        "train_targets": len(used[0]),
        "validation_users": len(held_out),
        "validation_tokens": int(parts[1].lengths.sum()),
        "validation_targets": len(used[1]),
        "targets_truncated_away": int(read.sum()) - len(used[0]) - len(used[1]),
        "targets_outside_catalogue": int((column < 0).sum()),
        "users_with_targets": len(able),
    }
    popularity = np.bincount(column[kept], minlength=len(examples.catalogue))
    return Sample(
        train=parts[0],
        validation=parts[1],
        train_target=used[0],
        train_interest=interest[0],
        validation_interest=interest[1],
        train_row=mine[parts[0].request],
        validation_target=used[1],
        held_out=rows[held_out],
        popularity=popularity,
        counts=counts,
    )


def _split(order: np.ndarray, lengths: np.ndarray, budget: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation users (ascending): the longest start of `order` whose training part fits."""
    until = np.concatenate([[0], np.cumsum(lengths[order])])
    total = np.arange(2, len(order) + 1)
    held_out = np.clip(np.round(total * share).astype(int), 1, total - 1)
    fitting = np.flatnonzero(until[total] - until[held_out] <= budget)
    last = fitting[-1] if len(fitting) else 0
    return np.sort(order[held_out[last] : total[last]]), np.sort(order[: held_out[last]])
