"""The layers below the adapters never change, so what they make of a prompt is computed once and kept on disk.

    <directory>/states-000.npy   states of every token of some prompts, back to back, in the model's number format
    <directory>/keys-000.npy     hash of each of those prompts, and its tokens; written last: with it the shard exists

Epochs, trials and seeds share a directory as long as base weights, number format and the first adapted layer
are the same. A killed run keeps its finished shards. It does not know what is learned on top.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.artifacts import fingerprint_of
from ml.errors import BadInput
from ml.llm.base_model import weights_fingerprint
from ml.llm.batches import padded, scoring_batches
from ml.llm.settings import LLMSettings
from ml.progress import Progress, silent

if TYPE_CHECKING:
    import torch

SHARD_TOKENS = 65_536
KEY = np.dtype([("hash", "V16"), ("tokens", "<i8")])


def frozen_key(base: Path, settings: LLMSettings, dtype: str, seed: int) -> str:
    """Names the directory of kept states that a run may share: same weights, number format and adapted layers."""
    return fingerprint_of([weights_fingerprint(base, settings, seed), dtype, settings.adapted_layers])


class SplitModel:
    """A transformer cut in two: `lower` up to the first adapted layer, `upper` from there; weights are shared.

    Args:
        model: the transformer, with adapters or without.
        first: number of the first layer of `upper`.

    Raises:
        BadInput: the two halves one after the other do not give what the whole gives (a model whose layers
            need more than the states of the layer below).
    """

    def __init__(self, model: Any, first: int) -> None:
        import torch

        whole = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.lower: Any = _part(whole, 0, first, norm=torch.nn.Identity())
        self.upper: Any = _part(whole, first, None)
        self.width, self.dtype = int(whole.config.hidden_size), next(whole.parameters()).dtype
        device = next(whole.parameters()).device
        with torch.inference_mode():
            ids = torch.arange(24, device=device)[None] % int(whole.config.vocab_size)
            expected = whole(input_ids=ids, use_cache=False).last_hidden_state.float()
            found = self.read_upper(self.read_lower(ids)).float()
        if not torch.allclose(found, expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max())):
            raise BadInput(
                "the model cannot be cut between two layers",
                where=f"{type(whole).__name__}, layer {first}",
                remedy="set llm.frozen_cache_gb: 0",
            )

    def read_lower(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids (n, length) -> states below the adapters (n, length, width)."""
        states: torch.Tensor = self.lower(input_ids=ids, use_cache=False).last_hidden_state
        return states

    def read_upper(self, states: torch.Tensor) -> torch.Tensor:
        """States below the adapters -> last hidden states, both (n, length, width)."""
        # Attention is causal and padding stands on the right, so no mask is needed.
        hidden: torch.Tensor = self.upper(inputs_embeds=states, use_cache=False).last_hidden_state
        return hidden


class FrozenStates:
    """States below the adapters of many prompts, on disk.

    Args:
        directory: made if there is none; what is in it was made by the same layers.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._places: dict[bytes, tuple[int, int]] = {}
        self._shards: list[np.ndarray] = []
        for number, _ in enumerate(sorted(directory.glob("keys-*.npy"))):
            self._open(number)

    def ensure(
        self,
        split: SplitModel,
        prompts: Sequence[np.ndarray],
        *,
        batch_tokens: int,
        device: str,
        progress: Progress = silent,
    ) -> None:
        """Compute and keep the states of the prompts that are not there yet."""
        fresh = list({_hash(p): p for p in prompts if _hash(p) not in self._places}.values())
        fresh.sort(key=len, reverse=True)
        lengths = np.array([len(p) for p in fresh], dtype=np.int64)
        shard = (np.cumsum(lengths) - lengths) // SHARD_TOKENS
        done = 0
        for number in np.unique(shard):
            mine = [fresh[row] for row in np.flatnonzero(shard == number)]
            self._write(mine, self._compute(split, mine, batch_tokens, device))
            done += sum(len(p) for p in mine)
            progress(done, int(lengths.sum()), "tokens of frozen layers")

    def load(self, prompts: Sequence[np.ndarray], dtype: torch.dtype) -> torch.Tensor:
        """States of some prompts as a rectangle, shape (n, longest, width), zeros on the right."""
        import torch

        width = self._shards[0].shape[1]
        states = torch.zeros(len(prompts), max(len(p) for p in prompts), width, dtype=dtype)
        for row, prompt in enumerate(prompts):
            shard, start = self._places[_hash(prompt)]
            found = torch.from_numpy(np.array(self._shards[shard][start : start + len(prompt)]))
            states[row, : len(prompt)] = found.view(dtype) if dtype == torch.bfloat16 else found
        return states

    def _compute(self, split: SplitModel, prompts: list[np.ndarray], batch_tokens: int, device: str) -> np.ndarray:
        import torch

        lengths = np.array([len(p) for p in prompts])
        starts = np.cumsum(lengths) - lengths
        kind = np.int16 if split.dtype == torch.bfloat16 else np.float32
        out = np.empty((int(lengths.sum()), split.width), dtype=kind)
        with torch.inference_mode():
            for rows in scoring_batches(lengths, batch_tokens):
                ids = torch.from_numpy(padded([prompts[row] for row in rows])).to(device)
                states = split.read_lower(ids).cpu()
                plain = states.view(torch.int16) if kind == np.int16 else states.float()
                for place, row in enumerate(rows):
                    out[starts[row] : starts[row] + lengths[row]] = plain[place, : lengths[row]].numpy()
        return out

    def _write(self, prompts: list[np.ndarray], states: np.ndarray) -> None:
        number = len(self._shards)
        keys = np.array([(_hash(p), len(p)) for p in prompts], dtype=KEY)
        for name, array in (("states", states), ("keys", keys)):
            temporary = self.directory / f".{name}.tmp.npy"
            np.save(temporary, array)
            temporary.replace(self.directory / f"{name}-{number:03d}.npy")
        self._open(number)

    def _open(self, number: int) -> None:
        keys = np.load(self.directory / f"keys-{number:03d}.npy")
        starts = np.cumsum(keys["tokens"]) - keys["tokens"]
        self._shards.append(np.load(self.directory / f"states-{number:03d}.npy", mmap_mode="r"))
        self._places |= {key: (number, int(at)) for key, at in zip(keys["hash"].tolist(), starts, strict=True)}


def _part(whole: Any, first: int, end: int | None, norm: Any = None) -> Any:
    """The transformer with some of its layers only; the layers themselves are the whole's."""
    import torch

    part = copy.copy(whole)
    part._modules = dict(whole._modules)
    part._modules["layers"] = torch.nn.ModuleList(list(whole.layers)[first:end])
    if norm is not None:
        part._modules["norm"] = norm
    return part


def _hash(prompt: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(prompt, dtype="<i4").tobytes(), digest_size=16).digest()
