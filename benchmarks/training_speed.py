"""How fast the advertiser LLM trains: rows P3 and P4.

    python -m benchmarks.training_speed --data <amazon14> [--quick]

P3  time to the same validation loss, against PEFT's defaults in a plain transformers loop: LoRA of the same rank on all
    linear layers, adapters in float32, shuffled right-padded batches with an attention mask, every layer run in every
    step. Same base, number format of the base, users, targets, head, loss, optimizer, learning rates and tokens a step.
    The loss to reach is what ours has after its one pass; time includes the states of the frozen layers, not loading.
P4  time per supervised target, against one prompt per target (a prefix of the stream each), both by our own step. The
    ceiling is the ratio of prompt tokens: prefixes of a stream repeat its beginning again and again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.amazon14 import VALIDATION, read_fold
from benchmarks.harness import Row, interleaved, ratio, write_results
from ml.contexts.stream import TrainingExamples
from ml.llm.base_model import load_base_model
from ml.llm.batches import Layout, encode, lay_out, padded, training_batches
from ml.llm.head import AdvertiserHead
from ml.llm.lora import add_adapters, trainable
from ml.llm.optimizer import MasterAdamW
from ml.llm.reader import Reader, WholeReader, open_reader
from ml.llm.reading import advertiser_lines, embed_lines, read_layout
from ml.llm.sample import Sample, draw_sample
from ml.llm.settings import LLMSettings
from ml.llm.tokens import LineTokenizer
from ml.llm.validation import log_loss

TOKENS_A_USER = 80


@dataclass
class Setup:
    """What all peers share."""

    base: Path
    settings: LLMSettings
    sample: Sample
    text: np.ndarray
    centre: np.ndarray
    dtype: str

    def head(self) -> AdvertiserHead:
        return AdvertiserHead.start(self.text, self.centre, self.sample.popularity)


def prepare(examples: TrainingExamples, base: Path, users: int, dtype: str) -> Setup:
    """The sample, and the head's texts, which every peer starts from."""
    settings = LLMSettings(train_tokens=users * TOKENS_A_USER, batch_tokens=2048, validation_share=0.2, device="cpu")
    tokenizer = LineTokenizer(base)
    sample = draw_sample(examples, tokenizer, settings, np.random.default_rng(0))
    model = load_base_model(base, dtype, "cpu")
    text = embed_lines(model, advertiser_lines(examples.catalogue), tokenizer, 4096, "cpu")
    centre = read_layout(model, sample.train.take(np.arange(min(64, len(sample.train.prompts)))), 4096, "cpu")
    return Setup(base, settings, sample, text, centre.mean(axis=0), dtype)


class MaskedReader(WholeReader):
    """The plain loop's forward pass: an attention mask, as the tokenizer's padding gives one."""

    def batch(self, layout: Layout, rows: np.ndarray) -> tuple[Any, np.ndarray]:
        import torch

        reads = layout.reads_of(rows)
        place = np.empty(len(layout.prompts), dtype=np.int64)
        place[rows] = np.arange(len(rows))
        prompts = [layout.prompts[row] for row in rows]
        ids = torch.from_numpy(padded(prompts))
        lengths = torch.tensor([len(p) for p in prompts])
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
        states = self.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        row, token = torch.from_numpy(place[layout.prompt[reads]]), torch.from_numpy(layout.token[reads])
        return states[row, token].float(), reads


def take_step(
    setup: Setup, reader: Reader, head: AdvertiserHead, adamw: MasterAdamW, rows: np.ndarray, step: int
) -> None:
    """One optimizer step over some prompts of the sample."""
    import torch

    hidden, reads = reader.batch(setup.sample.train, rows)
    target = torch.from_numpy(setup.sample.train_target[reads])
    adamw.step(step, torch.nn.functional.cross_entropy(head.logits(hidden), target))


def validation_loss(setup: Setup, reader: Reader, head: AdvertiserHead) -> float:
    import torch

    hidden = reader.all(setup.sample.validation)
    with torch.inference_mode():
        return log_loss(head.logits(torch.from_numpy(hidden)).numpy(), setup.sample.validation_target)


def ours(setup: Setup) -> tuple[float, float]:
    """Seconds of one pass over the users, frozen states included, and the validation loss it ends with."""
    model = add_adapters(load_base_model(setup.base, setup.dtype, "cpu"), setup.settings, 0)
    head, lengths = setup.head(), setup.sample.train.lengths
    batches = training_batches(lengths, setup.settings.batch_tokens, np.random.default_rng(1))
    adamw = MasterAdamW(trainable(model), head.learned, setup.settings, len(batches))
    with tempfile.TemporaryDirectory() as kept:
        start = time.perf_counter()
        reader = open_reader(model, [setup.sample.train], setup.settings, Path(kept), "cpu")
        for step, rows in enumerate(batches):
            take_step(setup, reader, head, adamw, rows, step)
        seconds = time.perf_counter() - start
        return seconds, validation_loss(setup, WholeReader(model, 4096, "cpu"), head)


def plain(setup: Setup, until: float, most: float) -> tuple[float, float]:
    """Seconds the plain loop trains until its validation loss is `until` or `most` seconds are over, and that loss."""
    from peft import LoraConfig, get_peft_model

    settings = setup.settings
    lora = LoraConfig(r=settings.lora_rank, lora_alpha=int(settings.lora_alpha), target_modules="all-linear")
    model: Any = get_peft_model(load_base_model(setup.base, setup.dtype, "cpu"), lora)
    head, rng, train = setup.head(), np.random.default_rng(1), setup.sample.train
    size = max(1, round(settings.batch_tokens / float(train.lengths.mean())))
    a_pass = -(-len(train.prompts) // size)
    adamw = MasterAdamW(trainable(model), head.learned, settings, a_pass)
    reader, seconds, loss, step = MaskedReader(model, 4096, "cpu"), 0.0, np.inf, 0
    while loss > until and seconds < most:
        order = rng.permutation(len(train.prompts))
        for first in range(0, len(order), size):
            start = time.perf_counter()
            take_step(setup, reader, head, adamw, order[first : first + size], min(step, a_pass - 1))
            seconds, step = seconds + time.perf_counter() - start, step + 1
            if step % max(1, a_pass // 4) == 0:
                loss = validation_loss(setup, reader, head)
                if loss <= until or seconds >= most:
                    break
    return seconds, loss


def time_to_loss(setup: Setup, rounds: int) -> list[Row]:
    """P3, round by round."""
    fast, slow, reached, ends = [], [], [], []
    for _ in range(rounds):
        seconds, loss = ours(setup)
        other, found = plain(setup, loss, 8 * seconds)
        fast.append(seconds)
        slow.append(other)
        reached.append(found <= loss)
        ends.append(loss)
    value, low, high = ratio(slow, fast)
    missed = (
        "" if all(reached) else f"; the plain loop stopped short of it in {reached.count(False)} of {rounds} rounds"
    )
    what = f"time to validation loss {median(ends):.3f}, {setup.sample.counts['train_users']} users{missed}"
    row = {"id": "P3", "what": what, "value": value, "unit": "x", "low": low, "high": high, "target": ">= 3x"}
    seconds = {"id": "P3.seconds", "what": "ours", "value": median(fast), "unit": "s", "against": "plain loop"}
    plain_row = {"id": "P3.plain", "what": "plain transformers loop, PEFT defaults", "value": median(slow), "unit": "s"}
    return [row | {"against": "PEFT defaults in a plain transformers loop"}, seconds, plain_row]


def one_prompt_a_target(examples: TrainingExamples, setup: Setup, users: int) -> tuple[Layout, Layout, np.ndarray]:
    """The same targets read in one pass a user, and in one prompt each; and their catalogue rows."""
    able = np.unique(examples.targets["user"])[:users]
    some = examples.take(able)
    lines = encode(some.contexts, LineTokenizer(setup.base))
    user, position = some.targets["user"].to_numpy(), some.targets["position"].to_numpy()
    budget = setup.settings.max_prompt_tokens
    together = lay_out(lines, user, position, budget, exact=False)
    kept = together.request
    parts = [lay_out(lines, user[[row]], position[[row]], budget, exact=True) for row in kept]
    n = np.arange(len(parts))
    alone = Layout([p.prompts[0] for p in parts], n, np.array([p.token[0] for p in parts]), n, user[kept])
    ids = some.catalogue["advertiser_id"].tolist()
    column = np.array([ids.index(a) for a in some.targets["advertiser_id"].iloc[kept]])
    return together, alone, column


def time_a_target(examples: TrainingExamples, setup: Setup, users: int, rounds: int) -> list[Row]:
    """P4: both layouts through our own training step."""
    together, alone, column = one_prompt_a_target(examples, setup, users)
    passes: dict[str, Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as kept:
        for name, layout, target in (("pass", together, column), ("prompts", alone, column)):
            model = add_adapters(load_base_model(setup.base, setup.dtype, "cpu"), setup.settings, 0)
            sample = replace(setup.sample, train=layout, train_target=target)
            mine, head = replace(setup, sample=sample), setup.head()
            batches = training_batches(layout.lengths, setup.settings.batch_tokens, np.random.default_rng(1))
            adamw = MasterAdamW(trainable(model), head.learned, setup.settings, len(batches))
            reader = open_reader(model, [layout], setup.settings, Path(kept) / name, "cpu")

            def run(mine=mine, reader=reader, head=head, adamw=adamw, batches=batches) -> None:  # type: ignore[no-untyped-def]
                for step, rows in enumerate(batches):
                    take_step(mine, reader, head, adamw, rows, step)

            passes[name] = run
        seconds = interleaved(passes, rounds)
    value, low, high = ratio(seconds["prompts"], seconds["pass"])
    ceiling = float(alone.lengths.sum() / together.lengths.sum())
    what = f"{len(column)} targets of {users} users: share of the ceiling {ceiling:.2f}x that token counts allow"
    row = {"id": "P4", "what": what, "value": value / ceiling, "unit": "", "low": low / ceiling, "high": high / ceiling}
    faster = {"id": "P4.ratio", "what": "time per target, one prompt per target over one pass", "value": value}
    against = {"target": ">= 0.8", "against": "one example per target"}
    return [row | against, faster | {"unit": "x", "low": low, "high": high}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=Path("var/base_models/smollm2-135m"))
    parser.add_argument("--cache", type=Path, default=Path("var/amazon14"))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--quick", action="store_true", help="few users, one round: does it run?")
    parser.add_argument("--to", type=Path, help="where results are written; default docs/results, with --quick nowhere")
    given = parser.parse_args()
    users, rounds = (40, 1) if given.quick else (400, 5)
    examples = read_fold(given.data, VALIDATION, given.cache).examples
    setup = prepare(examples, given.base, users, given.dtype)
    rows = [*time_a_target(examples, setup, users // 4, rounds), *time_to_loss(setup, rounds)]
    for row in rows:
        print(row)
    if not given.quick or given.to:
        where = {"to": given.to} if given.to else {}
        write_results("training-speed", rows, command="python -m benchmarks.training_speed --data <amazon14>", **where)


if __name__ == "__main__":
    main()
