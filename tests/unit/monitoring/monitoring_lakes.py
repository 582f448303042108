"""Lakes whose drift is known by construction: a few weeks of events drawn from stated shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ml.lake import Lake
from ml.sources.contract import TABLES, Column
from tests.lakes import ARROW

FIRST = date(2026, 1, 5)


@dataclass
class Week:
    """What a week's events are drawn from."""

    categories: Mapping[str, float] = field(default_factory=lambda: {"shoes": 0.5, "hotels": 0.3, "pets": 0.2})
    advertisers: Mapping[str, float] = field(default_factory=lambda: {"a1": 0.4, "a2": 0.3, "a3": 0.2, "a4": 0.1})
    missing_category: float = 0.1
    value: float = 20.0
    events: int = 2100
    conversions: int = 700


def write(
    root: Path, weeks: list[Week], *, users: int = 300, seed: int = 1, register: pd.DataFrame | None = None
) -> Lake:
    """A lake of whole weeks from FIRST on; the last 50 users do not consent, and always visit "secret"."""
    rng, lake = np.random.default_rng(seed), Lake(root)
    ids = [f"u{i}" for i in range(users)]
    people = pd.DataFrame(
        {
            "user_id": ids,
            "age_bucket": rng.choice(["18-24", "25-34", "35-44"], users),
            "gender": rng.choice(np.array(["female", "male", None], dtype=object), users),
            "region": "Utah",
            "consent": [i < users - 50 for i in range(users)],
            "updated_at": pd.Timestamp(FIRST),
        }
    )
    names = sorted({name for week in weeks for name in week.advertisers})
    known = pd.DataFrame(
        {
            "advertiser_id": names,
            "name": [f"The {n}" for n in names],
            "vertical": "all",
            "active_from": FIRST - timedelta(days=90),
        }
    )
    _put(lake, "users", FIRST, people)
    _put(lake, "advertisers", FIRST, register if register is not None else known)
    for number, week in enumerate(weeks):
        for day in range(7):
            today = FIRST + timedelta(days=7 * number + day)
            _put(lake, "activity", today, _activity(rng, week, ids, today))
            _put(lake, "conversions", today, _conversions(rng, week, ids, today))
    return lake


def last_day(weeks: int) -> date:
    return FIRST + timedelta(days=7 * weeks - 1)


def _activity(rng: np.random.Generator, week: Week, ids: list[str], day: date) -> pd.DataFrame:
    n = week.events // 7
    user = rng.integers(0, len(ids), n)
    category = rng.choice(np.array(list(week.categories), dtype=object), n, p=list(week.categories.values()))
    category = np.where(rng.random(n) < week.missing_category, None, category)
    return pd.DataFrame(
        {
            "event_id": [f"e{day}{i}" for i in range(n)],
            "user_id": [ids[u] for u in user],
            "event_time": _times(rng, day, n),
            "kind": rng.choice(["search", "visit"], n),
            "category": np.where(user >= len(ids) - 50, "secret", category),
        }
    )


def _conversions(rng: np.random.Generator, week: Week, ids: list[str], day: date) -> pd.DataFrame:
    n = week.conversions // 7
    return pd.DataFrame(
        {
            "conversion_id": [f"c{day}{i}" for i in range(n)],
            "user_id": rng.choice(ids, n),
            "advertiser_id": rng.choice(list(week.advertisers), n, p=list(week.advertisers.values())),
            "event_time": _times(rng, day, n),
            "kind": "purchase",
            "value": np.round(week.value * np.exp(rng.normal(0, 0.5, n)), 2),
            "attribution": "none",
        }
    )


def _times(rng: np.random.Generator, day: date, n: int) -> pd.Series:
    return pd.Series(pd.Timestamp(day) + pd.to_timedelta(rng.integers(0, 86_400, n), unit="s"))


def _put(lake: Lake, name: str, day: date, frame: pd.DataFrame) -> None:
    lake.write_day(name, day, pa.table({c.name: _array(frame, c) for c in TABLES[name].columns}))


def _array(frame: pd.DataFrame, column: Column) -> pa.Array:
    """A column with the contract's type, all null if the frame lacks it."""
    kind = ARROW[column.type]
    if column.name not in frame:
        return pa.nulls(len(frame), kind)
    return pa.array([None if pd.isna(value) else value for value in frame[column.name]], kind)
