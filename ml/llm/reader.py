"""Reads a layout in training: kept states of the frozen layers where they fit on disk, else all layers each time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ml.llm.batches import Layout, scoring_batches
from ml.llm.frozen import FrozenStates, SplitModel
from ml.llm.lora import adapted_layers
from ml.llm.reading import read_batch, read_layout
from ml.llm.settings import LLMSettings
from ml.progress import Progress, silent

if TYPE_CHECKING:
    import torch


class Reader(Protocol):
    """What training needs of a model."""

    def batch(self, layout: Layout, rows: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """Hidden states read in some prompts, float32, shape (n, width), and which reads they are, shape (n,)."""
        ...

    def all(self, layout: Layout) -> np.ndarray:
        """Every read of a layout without learning, float32, shape (n_reads, width), in the layout's order."""
        ...


class WholeReader:
    """All layers, every time."""

    def __init__(self, model: torch.nn.Module, batch_tokens: int, device: str) -> None:
        self.model, self.batch_tokens, self.device = model, batch_tokens, device

    def batch(self, layout: Layout, rows: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        return read_batch(self.model, layout, rows, self.device)

    def all(self, layout: Layout) -> np.ndarray:
        return read_layout(self.model, layout, self.batch_tokens, self.device)


class FrozenReader:
    """Kept states, then the upper layers. `states.ensure` has been called for every prompt that is read."""

    def __init__(self, split: SplitModel, states: FrozenStates, batch_tokens: int, device: str) -> None:
        self.split, self.states, self.batch_tokens, self.device = split, states, batch_tokens, device

    def batch(self, layout: Layout, rows: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        import torch

        reads = layout.reads_of(rows)
        place = np.empty(len(layout.prompts), dtype=np.int64)
        place[rows] = np.arange(len(rows))
        below = self.states.load([layout.prompts[row] for row in rows], self.split.dtype).to(self.device)
        hidden = self.split.read_upper(below)
        row = torch.from_numpy(place[layout.prompt[reads]]).to(self.device)
        token = torch.from_numpy(layout.token[reads]).to(self.device)
        return hidden[row, token].float(), reads

    def all(self, layout: Layout) -> np.ndarray:
        import torch

        out = np.zeros((len(layout.prompt), self.split.width), dtype=np.float32)
        with torch.inference_mode():
            for rows in scoring_batches(layout.lengths, self.batch_tokens):
                hidden, reads = self.batch(layout, rows)
                out[reads] = hidden.cpu().numpy()
        return out


def open_reader(
    model: Any, layouts: list[Layout], settings: LLMSettings, cache: Path, device: str, progress: Progress = silent
) -> Reader:
    """The reader for some layouts; states of the frozen layers are computed now as far as `cache` lacks them.

    Args:
        model: the transformer, with adapters or without.
        layouts: every prompt that will be read.
        settings: which layers are adapted, and how much disk the states may take.
        cache: directory of `FrozenStates`, for this base model, number format and these adapted layers.
        device: where the model computes.
        progress: told the tokens done.
    """
    config = model.config
    first = adapted_layers(int(config.num_hidden_layers), settings.adapted_layers)[0]
    tokens = sum(int(layout.lengths.sum()) for layout in layouts)
    gigabytes = tokens * int(config.hidden_size) * next(model.parameters()).element_size() / 1e9
    if first == 0 or gigabytes > settings.frozen_cache_gb:
        return WholeReader(model, settings.score_batch_tokens, device)
    split, states = SplitModel(model, first), FrozenStates(cache)
    prompts = [prompt for layout in layouts for prompt in layout.prompts]
    states.ensure(split, prompts, batch_tokens=settings.score_batch_tokens, device=device, progress=progress)
    return FrozenReader(split, states, settings.score_batch_tokens, device)
