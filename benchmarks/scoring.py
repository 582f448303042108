"""P2: what reading users' prompts costs, beside the plain transformers way, on published lengths of prompts.

    python -m benchmarks.scoring --data <amazon14>            # about 20 minutes on two cores
    python -m benchmarks.scoring --data <amazon14> --quick    # does it run?

Ours: adapters merged, no language-model head, fused attention, fixed shapes by length. Peer: the same weights and
number format in AutoModelForCausalLM with eager attention, batches of 32 in order of arrival, padded on the right with
a mask, no key-value cache, logits over the whole vocabulary. Both end in the hidden state at the prompt's last token;
the head, which is the same, is not timed. Lengths follow benchmarks/prompt_lengths.json; the tokens are amazon14's.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.harness import Row, interleaved, ratio
from benchmarks.prompt_lengths import draw_lengths, layout_of, prompts_of_length
from benchmarks.scored_model import arguments, examples_of, finish, trained
from ml.llm.base_model import fetch_base_model
from ml.llm.batches import Layout, padded
from ml.llm.predictor import LLMPredictor
from ml.llm.probe import use_threads
from ml.llm.tokens import LineTokenizer

BATCH = 32
PROMPTS = 300
NOTES = "Lengths of prompts: benchmarks/prompt_lengths.json (budget 192)."


class PlainTransformers:
    """The peer: `read` gives the same hidden states as `LLMPredictor.read`, up to rounding."""

    def __init__(self, base: Path, predictor: LLMPredictor, dtype: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        model: Any = AutoModelForCausalLM.from_pretrained(
            base, dtype=getattr(torch, dtype), attn_implementation="eager", local_files_only=True
        )
        model.model.load_state_dict(predictor._model.state_dict())
        self.model, self.seen = model.eval(), []
        model.model.norm.register_forward_hook(lambda module, inputs, output: self.seen.append(output))

    def read(self, layout: Layout) -> np.ndarray:
        import torch

        found = []
        with torch.inference_mode():
            for start in range(0, len(layout.prompts), BATCH):
                some = layout.prompts[start : start + BATCH]
                ids = torch.from_numpy(padded(some))
                lengths = torch.tensor([len(prompt) for prompt in some])
                mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
                self.seen.clear()
                self.model(input_ids=ids, attention_mask=mask, use_cache=False)
                found.append(self.seen[0][torch.arange(len(some)), lengths - 1].float().numpy())
        return np.concatenate(found)


def measure(name: str, layout: Layout, predictor: LLMPredictor, peer: PlainTransformers, rounds: int) -> list[Row]:
    """The rows of one histogram."""
    peers = {"ours": lambda: predictor.read(layout), "plain": lambda: peer.read(layout)}
    with use_threads(predictor._threads):
        seconds = interleaved(peers, rounds)
        ours, plain = top10(predictor, peers["ours"]()), top10(predictor, peers["plain"]())
    value, low, high = ratio(seconds["plain"], seconds["ours"])
    overlap = float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ours, plain, strict=True)]))
    mark = "" if name == "amazon14" else f".{name}"
    what = f"reading {len(layout.prompts)} prompts, {name} lengths, {int(layout.lengths.sum()):,} tokens"
    tokens = int(layout.lengths.sum()) / median(seconds["ours"])
    against = "transformers eager, right-padded batches in order of arrival, full logits"
    return [
        {"id": f"P2{mark}", "what": what, "value": value, "unit": "x", "low": low, "high": high}
        | {"target": ">= 2x", "against": against},
        {"id": f"P2{mark}.overlap", "what": "top 10 in common", "value": 100 * overlap, "unit": "%"}
        | {"target": ">= 99 %", "against": against},
        {"id": f"P2{mark}.speed", "what": "ours, real tokens a second", "value": tokens, "unit": "tokens/s"},
    ]


def top10(predictor: LLMPredictor, hidden: np.ndarray) -> np.ndarray:
    return np.argsort(-predictor.distribution(hidden), axis=1, kind="stable")[:, :10]


def main() -> None:
    given = arguments(__doc__.splitlines()[0]).parse_args()
    examples = examples_of(given)
    predictor = trained(given, examples, "smollm2-135m")
    base = fetch_base_model("smollm2-135m", given.base_models)
    peer = PlainTransformers(base, predictor, given.dtype)
    users = examples.contexts.take(np.arange(0, len(examples.contexts), 20 if given.quick else 1))
    everyone = layout_of(users, LineTokenizer(base))
    rows: list[Row] = []
    for name in ("amazon14", "world"):
        layout = prompts_of_length(everyone, draw_lengths(name, 40 if given.quick else PROMPTS))
        rows += measure(name, layout, predictor, peer, 1 if given.quick else 5)
    finish(given, "scoring", rows, NOTES)


if __name__ == "__main__":
    main()
