"""Small random lakes for tests: every table, and everything that tempts code to cheat.

    frames = random_frames(np.random.default_rng(3), first=date(2024, 1, 1), n_days=20)
    lake = write_lake(frames, tmp_path)
    other = write_lake(scramble_future(frames, as_of, rng), other_path)

They hold users without consent, users whose profile or consent changes later, users unknown to the
register, conversions known days after they happened, ties in time, null fields, ads and advertisers
delivered late, and texts with addresses and numbers in them. Frames carry the filing day in `_day`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import Phase

from ml.lake import KNOWN, Lake
from ml.sources.contract import TABLES, Table
from ml.timeline import end_of

Frames = dict[str, pd.DataFrame]
GENERATE_ONLY = (Phase.explicit, Phase.reuse, Phase.generate)
"""Hypothesis phases for tests that draw a lake from a seed: a seed cannot be shrunk, trying takes minutes."""

ARROW = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
    "DATE": pa.date32(),
}
NAMES = ["Nike", "Acme & Sons", "Booking.com", "Lumen", "Old Mill", "Zorro, Inc.", "Brooks", "Vega"]
VERTICALS = ["shoes", "travel", "beauty"]
CATEGORIES = ["running shoes", "city trips", "lip care", "tents"]
TEXTS = [
    "trail running shoes",
    "Cheap  Flights TO rome",
    "see https://example.org/p?id=7 shoes",
    "mail me at ann.b@example.org",
    "call +1 (555) 123-4567 now",
    "www.shop.example",
    "lip balm\nbought: Nike",
    None,
]


def arrow_schema(table: Table) -> pa.Schema:
    """The Parquet schema of a contract table."""
    return pa.schema([(column.name, ARROW[column.type]) for column in table.columns])


def random_frames(
    rng: np.random.Generator,
    *,
    first: date = date(2024, 1, 1),
    n_days: int = 20,
    n_users: int = 8,
    n_advertisers: int = 6,
    events_per_user: float = 8.0,
    late_share: float = 0.4,
    registers_change: bool = True,
) -> Frames:
    """Every table of the contract, with rows in random order and `_day`, the day they are filed under.

    Args:
        rng: the only source of chance.
        first: first day.
        n_days: days with events.
        n_users: users in the events; about one in eight never reaches the register.
        n_advertisers: at most 8.
        events_per_user: mean of activity rows a user; conversions are as many.
        late_share: share of conversions known up to nine days after they happened.
        registers_change: deliver registers again later, with changed rows; False delivers each once, on `first`.
    """
    users = [f"u{i:02d}" for i in range(n_users)]
    advertisers = [f"a{i}" for i in range(n_advertisers)]
    frames = _registers(rng, first, n_days, users, advertisers, changing=registers_change)
    ads = [*sorted(set(frames["ads"]["ad_id"])), "ad-unknown"]
    n_activity, n_conversions = (int(n) for n in rng.poisson(events_per_user * n_users, 2))
    frames["activity"] = _activity(rng, first, n_days, n_activity, users, advertisers)
    frames["impressions"] = _impressions(rng, first, n_days, n_activity, users, ads[:-1])
    frames["clicks"] = _clicks(rng, frames["impressions"])
    frames["conversions"] = _conversions(rng, first, n_days, n_conversions, users, advertisers, ads, late_share)
    return {name: _typed(TABLES[name], frame) for name, frame in frames.items()}


def write_lake(frames: Frames, root: Any) -> Lake:
    """A lake holding the frames: one partition a table and `_day`, rows sorted as the contract says."""
    lake = Lake(root)
    for name, frame in frames.items():
        table = TABLES[name]
        ordered = frame.sort_values(["_day", *table.sort_order], kind="stable").reset_index(drop=True)
        rows = pa.Table.from_pandas(ordered[table.column_names], arrow_schema(table), preserve_index=False)
        for day, mine in ordered.groupby("_day").indices.items():
            lake.write_day(name, day, rows.slice(mine[0], len(mine)))
    return lake


def random_lake(root: Path, rng: np.random.Generator, **options: Any) -> Lake:
    """A lake of `random_frames`."""
    return write_lake(random_frames(rng, **options), root)


@contextmanager
def temporary_lake(frames: Frames) -> Iterator[Lake]:
    """A lake of the frames that is gone afterwards (hypothesis and `tmp_path` do not mix)."""
    with TemporaryDirectory() as root:
        yield write_lake(frames, Path(root) / "lake")


def known_at(name: str, frame: pd.DataFrame) -> pd.Series:
    """When each row became known (not when it happened)."""
    if name == "conversions":
        return frame["known_at"].fillna(frame["event_time"])
    filed = pd.to_datetime(frame["_day"])
    if TABLES[name].kind == "log":
        return frame["event_time"]
    return np.maximum(filed, frame[KNOWN[name]]) if name in KNOWN else filed


def known_by(name: str, frame: pd.DataFrame, day: date) -> pd.DataFrame:
    """The rows known by the end of `day`."""
    return frame[known_at(name, frame) < end_of(day)]


def scramble_future(frames: Frames, as_of: date, rng: np.random.Generator) -> Frames:
    """The same past, another future: of what became known after `as_of`, rows vanish, change and appear.

    Rows that happened before `as_of` and became known after it are scrambled too.
    """
    return {name: _scrambled(name, frame, as_of, rng) for name, frame in frames.items()}


def _scrambled(name: str, frame: pd.DataFrame, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    later = known_at(name, frame) >= end_of(as_of)
    past, future = frame[~later], frame[later]
    if future.empty:
        return frame
    keep = future[rng.random(len(future)) < 0.7].copy()
    fixed = {"_day", "event_time", "known_at", "updated_at", TABLES[name].key}
    for column in [c for c in keep.columns if c not in fixed]:
        keep[column] = keep[column].to_numpy()[rng.permutation(len(keep))]
    # new rows name known entities (registers) or new events (logs), so that a leak shows
    added = future[rng.random(len(future)) < 0.5].copy()
    if TABLES[name].kind == "log":
        added[TABLES[name].key] = "0-new-" + added[TABLES[name].key]
    elif "consent" in added:
        added["consent"] = ~added["consent"]
    return pd.concat([past, keep, added], ignore_index=True)


def _registers(
    rng: np.random.Generator, first: date, n_days: int, users: list[str], advertisers: list[str], *, changing: bool
) -> Frames:
    last = n_days - 1 if changing else 0
    known_users = [u for u in users if rng.random() < 0.9] or users[:1]
    again = [u for u in known_users if rng.random() < 0.6] if changing else []
    day_of = [0] * len(known_users) + [int(rng.integers(0, last + 1)) for _ in again]
    profiles = pd.DataFrame(
        {
            "user_id": [*known_users, *again],
            "age_bucket": rng.choice(np.array(["18-24", "25-34", None], dtype=object), len(day_of)),
            "gender": rng.choice(np.array(["female", "male", None], dtype=object), len(day_of)),
            "region": rng.choice(np.array(["CA", "New York", None], dtype=object), len(day_of)),
            "consent": rng.random(len(day_of)) < 0.75,
            "updated_at": [_moment(rng, first, day) for day in day_of],
            "_day": [first + timedelta(days=day + int(changing and rng.integers(0, 3))) for day in day_of],
        }
    )
    for moment in ("updated_at", "_day"):  # as the ingest leaves it: no two rows of a user tie
        profiles = profiles.drop_duplicates(["user_id", moment])
    names = pd.DataFrame(
        {
            "advertiser_id": advertisers,
            "name": NAMES[: len(advertisers)],
            "vertical": rng.choice(VERTICALS, len(advertisers)),
            "active_from": first - timedelta(days=100),
            "active_to": [
                None if rng.random() < 0.7 else first + timedelta(days=int(rng.integers(0, n_days)))
                for _ in advertisers
            ],
            "_day": [first + timedelta(days=int(rng.integers(0, 3 if changing else 1))) for _ in advertisers],
        }
    )
    ads = pd.DataFrame(
        {
            "ad_id": [f"ad-{a}-{i}" for a in advertisers for i in range(2)],
            "advertiser_id": np.repeat(advertisers, 2),
            "title": None,
            "category": rng.choice(CATEGORIES, 2 * len(advertisers)),
            "price": np.round(rng.random(2 * len(advertisers)) * 90, 2),
            "created_at": None,
            "_day": [first + timedelta(days=int(rng.integers(0, last + 1))) for _ in range(2 * len(advertisers))],
        }
    )
    if changing:
        renamed = names[rng.random(len(names)) < 0.5].copy()
        renamed["name"] += " Group"
        renamed["_day"] = [first + timedelta(days=int(rng.integers(3, max(n_days, 4)))) for _ in range(len(renamed))]
        names = pd.concat([names, renamed], ignore_index=True)
    return {"advertisers": names, "ads": ads, "users": profiles}


def _activity(
    rng: np.random.Generator, first: date, n_days: int, n: int, users: list[str], advertisers: list[str]
) -> pd.DataFrame:
    kinds = rng.choice(["search", "visit", "save"], n, p=[0.5, 0.3, 0.2])
    return _log(rng, first, n_days, n, "event_id").assign(
        user_id=rng.choice(users, n),
        kind=kinds,
        text=np.where(kinds == "search", rng.choice(np.array(TEXTS, dtype=object), n), None),
        url="https://secret.example/" + pd.Series(range(n)).astype(str),
        category=rng.choice(np.array([*CATEGORIES, None], dtype=object), n),
        advertiser_id=rng.choice(np.array([*advertisers, None, "a-unknown"], dtype=object), n),
    )


def _impressions(
    rng: np.random.Generator, first: date, n_days: int, n: int, users: list[str], ads: list[str]
) -> pd.DataFrame:
    return _log(rng, first, n_days, n, "impression_id").assign(
        request_id=[f"r{i // 2}" for i in range(n)],
        user_id=rng.choice(users, n),
        ad_id=rng.choice(ads, n),
        surface="home",
        position=rng.integers(0, 5, n),
        bid=rng.random(n),
        price_paid=None,
        propensity=None,
    )


def _clicks(rng: np.random.Generator, impressions: pd.DataFrame) -> pd.DataFrame:
    clicked = impressions[rng.random(len(impressions)) < 0.3]
    moments = clicked["event_time"] + pd.to_timedelta(rng.integers(1, 7200, len(clicked)), unit="s")
    return pd.DataFrame(
        {
            "click_id": "k-" + clicked["impression_id"],
            "impression_id": clicked["impression_id"],
            "event_time": moments,
            "dwell_seconds": rng.random(len(clicked)) * 60,
            "_day": moments.dt.date,
        }
    )


def _conversions(
    rng: np.random.Generator,
    first: date,
    n_days: int,
    n: int,
    users: list[str],
    advertisers: list[str],
    ads: list[str],
    late_share: float,
) -> pd.DataFrame:
    log = _log(rng, first, n_days, n, "conversion_id")
    delay = np.where(rng.random(n) < late_share, rng.integers(0, 9 * 86_400, n), 0)
    known = (log["event_time"] + pd.to_timedelta(delay, unit="s")).where(rng.random(n) < 0.8)
    return log.assign(
        user_id=rng.choice(users, n),
        advertiser_id=rng.choice(advertisers, n),
        ad_id=rng.choice(np.array([*ads, None, None], dtype=object), n),
        known_at=known,
        kind=rng.choice(["purchase", "signup"], n),
        value=np.round(rng.random(n) * 100, 2),
        impression_id=None,
        attribution="none",
    )


def _log(rng: np.random.Generator, first: date, n_days: int, n: int, key: str) -> pd.DataFrame:
    """Key, event_time (some at midnight, some tied) and `_day` of n rows."""
    moments = pd.Series([_moment(rng, first, int(rng.integers(0, n_days))) for _ in range(n)], dtype="datetime64[us]")
    ids = [f"{key[0]}{i:05d}" for i in rng.permutation(n)]
    return pd.DataFrame({key: ids, "event_time": moments, "_day": moments.dt.date})


def _moment(rng: np.random.Generator, first: date, day: int) -> datetime:
    hour = int(rng.choice([0, 0, 9, 12, 23]))  # few values, so that ties happen
    second = int(rng.choice([0, 0, 1, 3599]))
    return datetime.combine(first + timedelta(days=day), time(hour)) + timedelta(seconds=second)


def _typed(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the contract's types, through Arrow, and its filing day."""
    typed = pa.Table.from_pandas(frame[table.column_names], arrow_schema(table), preserve_index=False).to_pandas()
    return typed.assign(_day=frame["_day"].to_numpy())
