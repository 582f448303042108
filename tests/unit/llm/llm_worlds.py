"""A world whose truth is known by construction: a user converts with the advertiser of his last search.

Every advertiser has one search phrase. Users search at random and now and then convert with the advertiser
of the phrase searched last, so popularity knows nothing and a reader of the prompt can know all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.llm.predictor import LLMPredictor
from ml.llm.settings import LLMSettings
from ml.llm.train import TrainingResult

AS_OF = date(2026, 3, 1)
PHRASES = ["red shoes", "big loan", "fly home", "dog bed", "oak desk", "new phone", "yoga mat", "face cream"]
NAMES = ["Arvo", "Belim", "Cresta", "Dorim", "Elvana", "Fornax", "Gilda", "Hestor"]
VERTICALS = ["fashion", "bank", "travel", "pets", "home", "phones", "sport", "beauty"]

TINY = LLMSettings(
    base_model="tiny",
    max_prompt_tokens=160,
    train_tokens=30_000,
    batch_tokens=1024,
    score_batch_tokens=2048,
    adapted_layers=0.5,
    lora_rank=4,
    adapter_learning_rate=3e-3,
    head_learning_rate=1e-2,
    device="cpu",
    dtype="float32",
    threads=1,
    save_every=5,
)
"""Settings under which every code path runs in seconds."""


@dataclass(frozen=True)
class Trained:
    """A model trained on the last-search world, see conftest."""

    examples: TrainingExamples
    checkpoint: Path
    result: TrainingResult
    predictor: LLMPredictor


def catalogue(n: int = len(NAMES)) -> pd.DataFrame:
    ids = [f"a{i}" for i in range(n)]
    return pd.DataFrame(
        {"advertiser_id": ids, "name": NAMES[:n], "vertical": VERTICALS[:n], "conversions": 0, "users": 0}
    )


def last_search_world(n_users: int, seed: int = 0, *, events: int = 5) -> TrainingExamples:
    """Streams of `events` events, a third of them conversions; each target is the last search's advertiser."""
    rng = np.random.default_rng(seed)
    rows, targets = [], []
    for user in range(n_users):
        searched = -1
        for position in range(events):
            time = pd.Timestamp(AS_OF) - pd.Timedelta(days=events - position)
            if searched >= 0 and (rng.random() < 0.4 or position == events - 1):
                rows.append((user, time, "conversion", None, VERTICALS[searched], f"a{searched}", NAMES[searched]))
                targets.append((user, position, f"a{searched}", time))
                searched = -1
            else:
                searched = int(rng.integers(len(PHRASES)))
                rows.append((user, time, "search", PHRASES[searched], None, None, None))
    columns = ["user", "time", "kind", "text", "category", "advertiser_id", "advertiser_name"]
    table = pd.DataFrame(rows, columns=columns).assign(event_time=lambda t: t["time"])
    users = pd.DataFrame({"user_id": [f"u{i:04d}" for i in range(n_users)], "age_bucket": "25-34"})
    users = users.assign(gender=None, region="CA")
    found = pd.DataFrame(targets, columns=["user", "position", "advertiser_id", "event_time"])
    found = found.assign(known_at=found["event_time"], visible_until=found["event_time"] - pd.Timedelta(days=1))
    found = found.assign(interest=[VERTICALS[int(a[1:])] for a in found["advertiser_id"]])
    contexts = UserContexts(AS_OF, users, table, np.arange(n_users + 1) * events)
    return TrainingExamples(contexts, found, catalogue())
