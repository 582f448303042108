"""Which number format and how many threads are fastest on this machine: measured, not guessed.

Bfloat16 is several times faster than float32 where the CPU has matrix units for it, and slower where it
has not; two threads can be slower than one on a shared machine. How to try it:

    python -m ml.llm.probe var/base_models/smollm2-135m
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ml.llm.settings import LLMSettings

if TYPE_CHECKING:
    import torch

PROBE_SHAPE = (4, 128)
"""Prompts and tokens of one probe pass."""
PROBE_PASSES = 6
WORTH = 1.25
"""More threads must be this much faster: beside other work they are many times slower than one."""


@dataclass(frozen=True)
class Compute:
    """Where and how to compute."""

    device: str
    dtype: str
    threads: int
    tried: dict[str, float]
    """Tokens a second of a forward pass, by "<dtype> x <threads>", for what was measured."""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def choose_compute(base: Path, settings: LLMSettings) -> Compute:
    """The settings' choice, and for each `auto` what a pass over a few hundred tokens finds fastest.

    Args:
        base: directory of the base model.
        settings: `device`, `dtype` and `threads` that are not auto (or 0) are taken as they are.
    """
    import torch

    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    most = torch.get_num_threads()
    if device == "cuda":
        best = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
        return Compute(device, best if settings.dtype == "auto" else settings.dtype, settings.threads or most, {})
    dtypes: list[str] = ["bfloat16", "float32"] if settings.dtype == "auto" else [settings.dtype]
    threads = [settings.threads] if settings.threads else sorted({most, max(1, most // 2), 1})
    if len(dtypes) * len(threads) == 1:
        return Compute(device, dtypes[0], threads[0], {})
    tried = _measure(base, dtypes, threads)
    dtype, count = fastest(tried)
    return Compute(device, dtype, count, tried)


def fastest(tried: dict[str, float]) -> tuple[str, int]:
    """Number format and threads of the fewest threads that come within WORTH of the best speed.

    Args:
        tried: tokens a second by "<dtype> x <threads>".
    """
    enough = max(tried.values()) / WORTH
    threads, _, dtype = min(
        (int(name.split()[2]), -speed, name.split()[0]) for name, speed in tried.items() if speed >= enough
    )
    return dtype, threads


def _measure(base: Path, dtypes: list[str], threads: list[int]) -> dict[str, float]:
    import torch

    from ml.llm.base_model import load_base_model

    tried = {}
    for dtype in dtypes:
        model = load_base_model(base, dtype, "cpu")
        for count in threads:
            with use_threads(count), torch.inference_mode():
                tried[f"{dtype} x {count}"] = round(_tokens_per_second(model), 1)
    return tried


def _tokens_per_second(model: torch.nn.Module) -> float:
    """The best of several passes, after one that warms up: a busy neighbour slows some, never speeds one up."""
    import torch

    ids = torch.zeros(PROBE_SHAPE, dtype=torch.int64)
    seconds = []
    for _ in range(1 + PROBE_PASSES):
        start = time.perf_counter()
        model(input_ids=ids, use_cache=False)
        seconds.append(time.perf_counter() - start)
    return ids.numel() / min(seconds[1:])


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Compute with `count` CPU threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


if __name__ == "__main__":
    print(choose_compute(Path(sys.argv[1]), LLMSettings()))
