"""P5, P6: what a day costs on which hardly anybody or only the catalogue has changed, in shares of a full run.

    python -m benchmarks.rescoring --data <amazon14>            # about 40 minutes on two cores
    python -m benchmarks.rescoring --data <amazon14> --quick    # does it run?

P5 runs whole days through files (`score_changed`): 20,000 users of amazon14 with the tiny model, then the same with
1 % of them changed; one scan is a day on which nobody has changed. P5.real reads the changed 1 % with the real model,
beside all users (a sample of them, scaled). P6 adds 1,000 of amazon14's smaller brands to the real model's catalogue:
their texts are read and embedded, then all users' cached states meet the wider catalogue; beside a full run, which
reads all users (a sample, scaled) and does the same product. Loading a model is not counted. The `equal` rows compare
users read by themselves with the same users read among others.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from benchmarks.amazon14 import VALIDATION
from benchmarks.harness import Row, interleaved
from benchmarks.scored_model import arguments, examples_of, finish, trained
from ml.contexts.stream import UserContexts
from ml.lake import Lake
from ml.llm.incremental import score_changed
from ml.llm.predictor import LLMPredictor
from ml.predictors.catalogue import build_catalogue

USERS, SAMPLE, NEW = 20_000, 800, 1_000
K, SHARDS = 20, 16


def changed(contexts: UserContexts, rows: np.ndarray) -> UserContexts:
    """The day after: users `rows` have searched for something last."""
    events = contexts.events.copy()
    last = contexts.offsets[1:][rows] - 1
    events.loc[last, ["kind", "text"]] = ["search", "travel size sunscreen"]
    events.loc[last, ["advertiser_id", "advertiser_name", "category"]] = None
    return replace(contexts, events=events)


def whole_days(predictor: LLMPredictor, contexts: UserContexts, rounds: int) -> list[Row]:
    """P5."""
    later = changed(contexts, some(len(contexts), len(contexts) // 100))
    with tempfile.TemporaryDirectory() as kept:
        names: Iterator[int] = iter(range(10**6))

        def day(users: UserContexts, earlier: Path | None) -> None:
            work = Path(kept) / str(next(names))
            score_changed(predictor, users, K, work, shards=SHARDS, earlier=earlier)
            shutil.rmtree(work)

        before = Path(kept) / "before"
        score_changed(predictor, contexts, K, before, shards=SHARDS)
        days = {"full": (later, None), "changed": (later, before), "scan": (contexts, before)}
        seconds = interleaved({name: lambda given=given: day(*given) for name, given in days.items()}, rounds)
    shares = [100 * (c - s) / f for f, c, s in zip(*(seconds[name] for name in days), strict=True)]
    what = f"1 % changed of {len(contexts):,} users, tiny model, beyond one scan"
    row: Row = {"id": "P5", "what": what, "value": median(shares), "unit": "%", "low": min(shares), "high": max(shares)}
    rows = [row | {"target": "<= 1.5 %", "against": "own full run"}]
    for name, values in seconds.items():
        about: Row = {"id": f"P5.seconds.{name}", "what": f"day: {name}", "value": median(values), "unit": "s"}
        rows.append(about | {"low": min(values), "high": max(values)})
    return rows


def reading(predictor: LLMPredictor, contexts: UserContexts, sample: int, rounds: int) -> tuple[list[Row], float]:
    """P5.real, and the seconds it takes to read all users."""
    few, many = len(contexts) // 100, contexts.take(some(len(contexts), sample))
    parts = {"few": contexts.take(some(len(contexts), few, seed=1)), "sample": many}
    seconds = interleaved({n: lambda users=users: predictor.hidden_states(users) for n, users in parts.items()}, rounds)
    scale = len(contexts) / sample
    shares = [100 * a / (b * scale) for a, b in zip(seconds["few"], seconds["sample"], strict=True)]
    what = f"reading 1 % of {len(contexts):,} users, real model; all of them: {sample} read, scaled"
    row: Row = {"id": "P5.real", "what": what, "value": median(shares), "unit": "%"}
    row |= {"low": min(shares), "high": max(shares), "target": "<= 1.5 %", "against": "reading all"}
    return [row], median(seconds["sample"]) * scale


def equality(predictor: LLMPredictor, contexts: UserContexts, sample: int) -> list[Row]:
    """Users read with others beside them, and by themselves in parts."""
    users = contexts.take(some(len(contexts), sample, seed=2))
    part = some(sample, max(1, sample // 5), seed=3)
    whole = predictor.distribution(predictor.hidden_states(users))[part]
    alone = predictor.distribution(predictor.hidden_states(users.take(part)))
    top = [np.argsort(-p, axis=1, kind="stable")[:, :10] for p in (whole, alone)]
    same = 100 * float((top[0] == top[1]).all(axis=1).mean())
    about = f"{len(part)} of {sample} users read by themselves"
    gap = {"id": "equal.dp", "what": f"{about}: greatest difference", "value": float(np.abs(whole - alone).max())}
    return [
        gap | {"unit": "", "target": "<= 0.001", "against": "read with all others"},
        {"id": "equal.top10", "what": f"{about}: equal top 10", "value": same, "unit": "%", "target": ">= 99.9 %"},
    ]


def wider(given: argparse.Namespace, predictor: LLMPredictor, new: int) -> pd.DataFrame:
    """The catalogue and `new` more advertisers, of those too small for it."""
    with Lake(given.cache / "lake").connect(as_of=VALIDATION) as con:
        brands = build_catalogue(con, VALIDATION, min_users=0)
    fresh = brands[~brands["advertiser_id"].isin(predictor.advertiser_ids)].iloc[:new]
    return pd.concat([predictor.catalogue, fresh], ignore_index=True)


def new_advertisers(
    given: argparse.Namespace, predictor: LLMPredictor, contexts: UserContexts, read: float, sample: int, rounds: int
) -> list[Row]:
    """P6; `read` is what reading all users takes, in seconds."""
    catalogue = wider(given, predictor, NEW)
    states = predictor.hidden_states(contexts.take(some(len(contexts), min(sample, 200))))
    states = np.ascontiguousarray(np.resize(states, (len(contexts), states.shape[1])))
    frozen = predictor._frozen_model()
    predictor._frozen_model = lambda: frozen  # type: ignore[method-assign]  # loaded once: not counted
    known = predictor.with_catalogue(catalogue)
    parts = {
        "embedding": lambda: predictor.with_catalogue(catalogue),
        "product": lambda: known.table(states, contexts, K),
        "full": lambda: predictor.table(states, contexts, K),
    }
    seconds = interleaved(parts, rounds)
    value, low, high = (
        100 * f([(e + p) / (read + t) for e, p, t in zip(*(seconds[name] for name in parts), strict=True)])
        for f in (median, min, max)
    )
    embedding, product = median(seconds["embedding"]), median(seconds["product"])
    n, a_user = len(contexts), read / len(contexts)
    what = f"{len(catalogue) - len(predictor.catalogue):,} new advertisers, {n:,} users: their texts and one product"
    full = f"own full run: {read:,.0f} s of reading (a sample, scaled)"
    rows: list[Row] = [
        {"id": "P6", "what": what, "value": value, "unit": "%", "low": low, "high": high}
        | {"target": "<= 0.1 %", "against": full},
        {"id": "P6.product", "what": "the product alone", "value": 100 * product / read, "unit": "%", "against": full},
        {"id": "P6.seconds.embedding", "what": "reading and embedding the texts", "value": embedding, "unit": "s"},
        {"id": "P6.seconds.product", "what": "product, top 20, table", "value": product, "unit": "s"},
    ]
    margin = 0.001 * a_user - product / n
    at = embedding / margin if margin > 0 else None
    rows.append({"id": "P6.users", "what": "users from whom on it is <= 0.1 %", "value": at, "unit": "users"})
    return rows


def some(n: int, size: int, seed: int = 0) -> np.ndarray:
    """`size` of n rows, ascending."""
    return np.sort(np.random.default_rng(seed).choice(n, min(size, n), replace=False))


def main() -> None:
    given = arguments(__doc__.splitlines()[0]).parse_args()
    users, sample, rounds = (2_000, 60, 1) if given.quick else (USERS, SAMPLE, 5)
    examples = examples_of(given)
    contexts = examples.contexts.take(some(len(examples.contexts), users))
    rows = whole_days(trained(given, examples, "tiny"), contexts, rounds)
    predictor = trained(given, examples, "smollm2-135m")
    found, read = reading(predictor, contexts, sample, rounds)
    rows += found + equality(predictor, contexts, sample)
    rows += new_advertisers(given, predictor, contexts, read, sample, rounds)
    finish(given, "rescoring", rows, "Loading a model is not counted.")


if __name__ == "__main__":
    main()
