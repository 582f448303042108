"""Reads hidden states out of prompts: the forward pass of training, of scoring and of advertiser texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.contexts.render import MAX_FIELD, VERBS
from ml.llm.batches import Layout, padded
from ml.llm.shapes import fixed_batches
from ml.llm.tokens import LineTokenizer
from ml.progress import Progress, silent

if TYPE_CHECKING:
    import torch


def read_batch(
    model: torch.nn.Module, layout: Layout, rows: np.ndarray, device: str, shape: tuple[int, int] | None = None
) -> tuple[torch.Tensor, np.ndarray]:
    """One forward pass over some prompts of a layout, padded to `shape` (rows and tokens) if it is given.

    Returns:
        The hidden states read, float32, shape (n, hidden), and which reads of the layout they are, shape (n,).
    """
    import torch

    reads = layout.reads_of(rows)
    place = np.empty(len(layout.prompts), dtype=np.int64)
    place[rows] = np.arange(len(rows))
    ids = torch.from_numpy(padded([layout.prompts[row] for row in rows], shape)).to(device)
    # No attention mask: attention is causal and padding stands on the right, so no real token sees it.
    states = model(input_ids=ids, use_cache=False).last_hidden_state
    row = torch.from_numpy(place[layout.prompt[reads]]).to(device)
    token = torch.from_numpy(layout.token[reads]).to(device)
    return states[row, token].float(), reads


def read_layout(
    model: torch.nn.Module, layout: Layout, batch_tokens: int, device: str, progress: Progress = silent
) -> np.ndarray:
    """Every read of a layout without learning, float32, shape (n_reads, hidden), in the layout's order.

    What is read in a prompt does not depend on the layout's other prompts (see `ml.llm.shapes`).
    """
    import torch

    lengths = layout.lengths
    width = int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]
    hidden = np.zeros((len(layout.prompt), width), dtype=np.float32)
    done = 0
    with torch.inference_mode():
        for batch in fixed_batches(lengths, batch_tokens, any_rows=device == "cpu"):
            states, reads = read_batch(model, layout, batch.rows, device, (batch.n_rows, batch.length))
            hidden[reads] = states.cpu().numpy()
            done += int(lengths[batch.rows].sum())
            progress(done, int(lengths.sum()), "tokens")
    return hidden


def advertiser_lines(catalogue: pd.DataFrame) -> list[str]:
    """How a conversion with each advertiser is written in a prompt: `bought: Nike, sportswear`."""
    fields = zip(catalogue["name"], catalogue["vertical"], strict=True)
    short = ([" ".join(str(value).split())[:MAX_FIELD].rstrip() for value in pair] for pair in fields)
    return [f"{VERBS['conversion']}: {', '.join(value for value in pair if value)}".rstrip() + "\n" for pair in short]


def embed_lines(
    model: torch.nn.Module, lines: Sequence[str], tokenizer: LineTokenizer, batch_tokens: int, device: str
) -> np.ndarray:
    """What the model has read at the end of each line on its own, shape (n_lines, hidden), float32.

    The line has the form of an event, so its state lies where the states of users lie: at the newline after
    a purchase. Mean-pooling the words instead separates brands far worse (a first token's state is a huge
    constant), and so does every state without centring.
    """
    ids = tokenizer.encode_lines(lines)
    each = np.arange(len(ids))
    last = np.array([len(line) - 1 for line in ids], dtype=np.int64)
    return read_layout(model, Layout(ids, each, last, each, each), batch_tokens, device)
