"""P8: token ids of many contexts, joined from lines that are tokenized once, beside tokenizing every rendered text.

    python -m benchmarks.token_ids --data <amazon14>            # about 2 minutes
    python -m benchmarks.token_ids --data <amazon14> --quick    # does it run?

CPU seconds of all threads. Both start from what the renderer gives: lines there, texts here; ours starts with an
empty cache in every round (a day's run keeps it), and its time holds the tokenizing of each distinct line, the cut to
the token budget and the joining. The ids must be identical. The texts are rendered within the budget already, which
spares the peer the oldest events.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.amazon14 import VALIDATION, read_fold
from benchmarks.harness import Row, interleaved, ratio, write_results
from ml.contexts.render import event_lines, profile_lines, render_prompts
from ml.contexts.stream import UserContexts
from ml.llm.batches import encode_lines, lay_out
from ml.llm.tokens import LineTokenizer

BUDGET = 192


def measure(contexts: UserContexts, base: Path, rounds: int) -> list[Row]:
    """P8 and its parts.

    Raises:
        SystemExit: ids differ.
    """
    profiles, events = profile_lines(contexts), event_lines(contexts)
    everyone, ends = np.arange(len(contexts)), np.diff(contexts.offsets)
    warm = LineTokenizer(base)
    texts = render_prompts(contexts, warm.count, BUDGET).text

    def ours(tokenizer: LineTokenizer) -> list[np.ndarray]:
        lines = encode_lines(profiles, events, contexts.offsets, tokenizer)
        return lay_out(lines, everyone, ends, BUDGET, exact=True).prompts

    def texts_one_by_one() -> list[np.ndarray]:
        return [warm.encode_text(text) for text in texts]

    identical = all(np.array_equal(a, b) for a, b in zip(ours(warm), texts_one_by_one(), strict=True))
    if not identical:
        raise SystemExit("the ids are not identical")
    fresh = iter([LineTokenizer(base) for _ in range(rounds + 1)])
    peers = {"ours": lambda: ours(next(fresh)), "warm": lambda: ours(warm), "texts": texts_one_by_one}
    seconds = interleaved(peers, rounds, clock=time.process_time)
    about = f"{len(contexts):,} contexts, {len(events):,} event lines, {len(set(events)):,} of them distinct"
    rows: list[Row] = []
    for key, name, what in (("P8", "ours", "ids identical"), ("P8.warm", "warm", "lines tokenized before")):
        value, low, high = ratio(seconds["texts"], seconds[name])
        rows.append({"id": key, "what": f"CPU for token ids of {about}; {what}", "value": value, "unit": "x"})
        rows[-1] |= {"low": low, "high": high, "against": "tokenizing each rendered text"}
    rows[0]["target"] = ">= 10x"
    for name, values in seconds.items():
        row = {"id": f"P8.seconds.{name}", "what": f"{name}, CPU", "value": median(values), "unit": "s"}
        rows.append(row | {"low": min(values), "high": max(values)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=Path("var/base_models/smollm2-135m"))
    parser.add_argument("--cache", type=Path, default=Path("var/amazon14"))
    parser.add_argument("--quick", action="store_true", help="few users, one round: does it run?")
    parser.add_argument("--to", type=Path, help="where results are written; default docs/results, with --quick nowhere")
    given = parser.parse_args()
    contexts = read_fold(given.data, VALIDATION, given.cache).examples.contexts
    if given.quick:
        contexts = contexts.take(np.arange(1000))
    rows = measure(contexts, given.base, 1 if given.quick else 5)
    for row in rows:
        print(row)
    if not given.quick or given.to:
        where = {"to": given.to} if given.to else {}
        write_results("token-ids", rows, command="python -m benchmarks.token_ids --data <amazon14>", **where)


if __name__ == "__main__":
    main()
