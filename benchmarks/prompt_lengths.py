"""The published lengths of prompts that speed is measured on: benchmarks/prompt_lengths.json.

    python -m benchmarks.prompt_lengths --data <amazon14>    # makes the file anew

Tokens of every prompt at the product's default budget of 192: of amazon14's users on the validation day, and of the
active users of the simulated world (profile small, seed 0) on its 52nd day.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.amazon14 import VALIDATION, read_fold
from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import UserContexts
from ml.lake import Lake
from ml.llm.batches import Layout, encode, lay_out
from ml.llm.tokens import LineTokenizer
from ml.sources.ingest import ingest
from ml.sources.world import WorldSource
from ml.world.settings import WorldSettings

PATH = Path(__file__).parent / "prompt_lengths.json"
BUDGET = 192


def draw_lengths(name: str, n: int, seed: int = 0) -> np.ndarray:
    """Lengths in random order whose shares are the published ones as far as n allows, shape (n,), int64.

    Args:
        name: "amazon14" or "world".
        n: how many.
        seed: of the order.
    """
    counts = json.loads(PATH.read_text())[name]
    lengths = np.repeat([int(length) for length in counts], list(counts.values()))
    spread = lengths[(2 * np.arange(n) + 1) * len(lengths) // (2 * max(n, 1))]
    found: np.ndarray = np.random.default_rng(seed).permutation(spread.astype(np.int64))
    return found


def layout_of(contexts: UserContexts, tokenizer: LineTokenizer) -> Layout:
    """One prompt a user, read at its end."""
    everyone = np.arange(len(contexts))
    return lay_out(encode(contexts, tokenizer), everyone, np.diff(contexts.offsets), BUDGET, exact=True)


def prompts_of_length(layout: Layout, lengths: np.ndarray, seed: int = 0) -> Layout:
    """Real prompts of just these lengths: each the beginning of one that is at least as long, read at its end."""
    rng, order = np.random.default_rng(seed), np.argsort(layout.lengths, kind="stable")
    first = np.searchsorted(layout.lengths[order], lengths)
    if (first == len(order)).any():
        raise SystemExit(f"no prompt has {lengths[first == len(order)].max()} tokens")
    chosen = order[rng.integers(first, len(order))]
    prompts = [layout.prompts[row][:length] for row, length in zip(chosen, lengths.tolist(), strict=True)]
    each = np.arange(len(prompts))
    return Layout(prompts, each, lengths - 1, each, each)


def world_contexts(work: Path) -> UserContexts:
    source = WorldSource(WorldSettings(), 0, work / "landing")
    lake = Lake(work / "lake")
    ingest(source, source.window(), lake, work / "quarantine", sparse=False)
    return build_contexts(lake, source.window().days[51], ContextSettings())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=Path("var/base_models/smollm2-135m"))
    parser.add_argument("--cache", type=Path, default=Path("var/amazon14"))
    given = parser.parse_args()
    tokenizer = LineTokenizer(given.base)
    with tempfile.TemporaryDirectory() as work:
        everyone = {
            "amazon14": read_fold(given.data, VALIDATION, given.cache).examples.contexts,
            "world": world_contexts(Path(work)),
        }
    histograms = {}
    for name, contexts in everyone.items():
        length, count = np.unique(layout_of(contexts, tokenizer).lengths, return_counts=True)
        histograms[name] = dict(zip(map(str, length.tolist()), count.tolist(), strict=True))
    lines = ",\n".join(f'  "{name}": {json.dumps(histogram)}' for name, histogram in histograms.items())
    PATH.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
