"""One pass against writing the advertiser's name: row P1.

    python -m benchmarks.by_name --data <amazon14> [--base var/base_models/smollm2-135m] [--quick]

Speed: prompts of exactly 384 tokens (event lines of real users, joined and cut), 2,000 names of real brands, 32 users,
the same base, number format and threads for all. The peer is transformers' `generate` as people write it: beams,
`prefix_allowed_tokens_fn` over a trie of dictionaries, sums of log-probabilities. In each of 8 rounds it decodes 4
other users, so 32 in all; the one pass reads all 32 each time; ratios are per user. Our own beam search over the same
trie is shown beside. All start from token ids; a head's weights and a short fine-tuning change no speed.
Recall: see `benchmarks.by_name_recall`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.amazon14 import VALIDATION, read_fold
from benchmarks.by_name_recall import recall_rows
from benchmarks.harness import Row, interleaved, ratio, write_results
from ml.contexts.stream import UserContexts
from ml.llm.base_model import load_base_model
from ml.llm.batches import Layout, encode
from ml.llm.by_name.reader import NextToken, NodeReader, vocabulary_matrix
from ml.llm.by_name.search import search
from ml.llm.by_name.trie import Names, NameTrie
from ml.llm.head import AdvertiserHead
from ml.llm.reading import read_layout
from ml.llm.scoring import CatalogueScores
from ml.llm.tokens import LineTokenizer

PROMPT_TOKENS, ADVERTISERS, USERS = 384, 2000, 32
TOP = 10


def brand_names(data: Path) -> list[str]:
    """The brands with most users up to the validation day."""
    events = pd.read_parquet(data / "events.parquet", columns=["user_id", "event_date", "brand"]).dropna()
    events = events[pd.to_datetime(events["event_date"]) <= pd.Timestamp(VALIDATION)]
    events["brand"] = events["brand"].str.split().str.join(" ").str[:60].str.rstrip()
    users = events.drop_duplicates().groupby("brand")["user_id"].nunique()
    return [str(name) for name in users.sort_values(ascending=False, kind="stable").index[:ADVERTISERS]]


def long_prompts(contexts: UserContexts, tokenizer: LineTokenizer, n: int) -> list[np.ndarray]:
    """Prompts of PROMPT_TOKENS: a user's profile, then event lines of his and of the users after him."""
    lines = encode(contexts.take(np.arange(min(len(contexts), 40 * n))), tokenizer)
    events, prompts, start = np.concatenate(lines.events), [], 0
    for user in range(n):
        profile = lines.profiles[user]
        until = start + PROMPT_TOKENS - len(profile)
        prompts.append(np.concatenate([profile, events[start:until]]))
        start = until
    assert all(len(prompt) == PROMPT_TOKENS for prompt in prompts)
    return prompts


def one_pass(model: Any, prompts: list[np.ndarray]) -> Callable[[], object]:
    """Reads the prompts and ranks the catalogue."""
    rng, each = np.random.default_rng(0), np.arange(len(prompts))
    width = int(model.config.hidden_size)
    text = rng.standard_normal((ADVERTISERS, width)).astype(np.float32)
    head = AdvertiserHead.start(text, np.zeros(width, dtype=np.float32), np.ones(ADVERTISERS, dtype=np.int64))
    scores = CatalogueScores(head, temperature=1.0)
    layout = Layout(prompts, each, np.full(len(prompts), PROMPT_TOKENS - 1), each, each)
    return lambda: scores.likeliest(read_layout(model, layout, 4096, "cpu"), TOP)


class InGroups:
    """Decodes another group of users at every call; the first call warms up on the first group."""

    def __init__(self, decode: Callable[[list[np.ndarray]], np.ndarray], groups: list[list[np.ndarray]]) -> None:
        self.decode, self.groups, self.calls = decode, groups, 0
        self.names: dict[int, np.ndarray] = {}

    def __call__(self) -> None:
        group = max(self.calls - 1, 0)
        self.names[group] = self.decode(self.groups[group])
        self.calls += 1

    def top(self) -> np.ndarray:
        """Names found, shape (n_users, TOP)."""
        return np.concatenate([self.names[group] for group in sorted(self.names)])


def ours(model: Any, names: Names, beam: int) -> Callable[[list[np.ndarray]], np.ndarray]:
    """Our beam search, in the reading that `generate` has."""
    import torch

    trie = NameTrie.of(names.ids)
    following = NextToken(vocabulary_matrix(model), trie, "vocabulary")

    def decode(prompts: list[np.ndarray]) -> np.ndarray:
        asked = [np.concatenate([prompt, names.cue]) for prompt in prompts]
        with torch.inference_mode():
            return search(NodeReader(model, trie, "cpu"), following, asked, beam).name[:, :TOP]

    return decode


def transformers_beams(base: Path, dtype: str, names: Names, beam: int) -> Callable[[list[np.ndarray]], np.ndarray]:
    """`generate` with constrained beams."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype), local_files_only=True).eval()
    rows = {tuple(name.tolist()): row for row, name in enumerate(names.ids)}
    root: dict[int, Any] = {}
    for name in rows:
        node = root
        for token in name:
            node = node.setdefault(token, {})
    newline, start = int(names.ids[0][-1]), PROMPT_TOKENS + len(names.cue)

    def allowed(_: int, ids: torch.Tensor) -> list[int]:
        node = root
        for token in ids[start:].tolist():
            node = node.get(token, {})
        return list(node) or [newline]

    def decode(prompts: list[np.ndarray]) -> np.ndarray:
        ids = torch.from_numpy(np.stack([np.concatenate([p, names.cue]) for p in prompts]).astype(np.int64))
        with torch.inference_mode():
            made = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                num_beams=beam,
                num_return_sequences=TOP,
                do_sample=False,
                prefix_allowed_tokens_fn=allowed,
                max_new_tokens=max(map(len, names.ids)),
                eos_token_id=newline,
                pad_token_id=newline,
                length_penalty=0.0,
            )
        found = [rows[_until(sequence[start:].tolist(), newline)] for sequence in made]
        return np.array(found).reshape(len(prompts), TOP)

    return decode


def _until(tokens: list[int], end: int) -> tuple[int, ...]:
    return tuple(tokens[: tokens.index(end) + 1])


def speed_rows(contexts: UserContexts, given: argparse.Namespace) -> list[Row]:
    """P1's speeds."""
    rounds, a_round = (1, 1) if given.quick else (8, 4)
    tokenizer = LineTokenizer(given.base)
    names = Names.of(brand_names(given.data), tokenizer)
    prompts = long_prompts(contexts, tokenizer, rounds * a_round)
    groups = [prompts[i : i + a_round] for i in range(0, len(prompts), a_round)]
    model = load_base_model(given.base, given.dtype, "cpu")
    decoders = {f"ours.beam{beam}": InGroups(ours(model, names, beam), groups) for beam in (10, 50)}
    for beam in (10, 50):
        decoders[f"generate.beam{beam}"] = InGroups(transformers_beams(given.base, given.dtype, names, beam), groups)
    seconds = interleaved({"one_pass": one_pass(model, prompts), **decoders}, rounds)
    a_user = {name: [s / (a_round if name in decoders else len(prompts)) for s in of] for name, of in seconds.items()}
    rows: list[Row] = []
    for name, row_id, target in (
        ("generate.beam10", "P1", ">= 40x"),
        ("generate.beam50", "P1.generate.beam50", ""),
        ("ours.beam10", "P1.ours.beam10", ""),
        ("ours.beam50", "P1.ours.beam50", ""),
    ):
        value, low, high = ratio(a_user[name], a_user["one_pass"])
        what = f"time a user over that of the one pass, {PROMPT_TOKENS}-token prompts, {len(names.ids)} advertisers"
        row = {"id": row_id, "what": what, "value": value, "unit": "x", "low": low, "high": high}
        rows.append(row | {"target": target, "against": name})
    for name, of in a_user.items():
        rows.append(
            {"id": f"P1.speed.{name}", "what": f"users a second, {name}", "value": 1 / median(of), "unit": "1/s"}
        )
    for one, other in (("ours.beam50", "generate.beam50"), ("generate.beam10", "generate.beam50")):
        same = [len(set(a) & set(b)) / TOP for a, b in zip(decoders[one].top(), decoders[other].top(), strict=True)]
        what = f"share of the top {TOP} that both find, {len(same)} users"
        rows.append({"id": f"P1.overlap.{one}", "what": what, "value": float(np.mean(same)), "against": other})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=Path("var/base_models/smollm2-135m"))
    parser.add_argument("--cache", type=Path, default=Path("var/amazon14"), help="the prepared fold")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--judged", type=int, default=500, help="users whose recall is compared")
    parser.add_argument("--train-tokens", type=int, default=240_000, help="prompt tokens that either way is trained on")
    parser.add_argument("--only", choices=["speed", "recall"])
    parser.add_argument("--quick", action="store_true", help="few users, one round: does it run?")
    parser.add_argument("--to", type=Path, help="where results are written; default docs/results, with --quick nowhere")
    given = parser.parse_args()
    if given.quick:
        given.judged, given.train_tokens = 20, 3_000
    fold = read_fold(given.data, VALIDATION, given.cache)
    rows = speed_rows(fold.contexts, given) if given.only != "recall" else []
    rows += recall_rows(fold, given) if given.only != "speed" else []
    for row in rows:
        print(row)
    if not given.quick or given.to:
        where = {"to": given.to} if given.to else {}
        only = f" --only {given.only}" if given.only else ""
        write_results("by-name", rows, command=f"python -m benchmarks.by_name --data <amazon14>{only}", **where)


if __name__ == "__main__":
    main()
