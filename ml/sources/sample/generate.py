"""The sample: a small synthetic purchase log in the amazon14 layout, so that `SOURCE=purchases` runs without real data.

It is invented: 700 users, some 80 brands, 2013-07-01 to 2014-07-23. Each user has a few leaf categories of
interest, one of which is taken up later than the others; in a category a user has favourite brands, chosen by the
brands' popularity, and returns to a brand bought before with probability REPEAT. So popularity, repetition and
co-occurrence each tell something of the next brand, and none tells all. About a quarter of the items has no brand. As
in the real log, category lists of beauty items are in no order, and `seq` orders a user's purchases.

    python -m ml.sources.sample.generate            # writes events.parquet and items.parquet beside this file

The same seed gives the same bytes (for one version of pyarrow).
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 14
USERS = 700
FIRST, LAST = date(2013, 7, 1), date(2014, 7, 23)
REPEAT = 0.3
"""Probability that a purchase goes to a brand the user has bought before in that category."""
BRANDLESS = 0.25
"""Share of items without a brand."""
TREE = {
    "beauty": {
        "Skin Care": ["Night Creams", "Sunscreens", "Cleansers", "Lip Balms", "Masks"],
        "Hair Care": ["Shampoos", "Conditioners", "Hair Oils", "Styling Gels"],
        "Makeup": ["Mascara", "Lipstick", "Foundation", "Nail Polish"],
        "Fragrance": ["Eau de Parfum", "Body Mists"],
    },
    "sports": {
        "Cycling": ["Tires", "Bike Lights", "Saddles", "Bike Pumps"],
        "Camping & Hiking": ["Tents", "Sleeping Pads", "Camp Stoves", "Headlamps"],
        "Exercise & Fitness": ["Exercise Bands", "Yoga Mats", "Dumbbells"],
        "Water Sports": ["Swim Goggles", "Wetsuits"],
    },
}
ITEMS_PER_LEAF = 14
BRANDS_PER_BRANCH = 12
"""Each brand serves one branch, such as Hair Care; the least popular may get no item."""
SYLLABLES = [
    "vel",
    "mor",
    "ta",
    "rin",
    "quo",
    "sel",
    "dra",
    "nim",
    "pol",
    "eth",
    "ka",
    "zu",
    "bri",
    "lon",
    "fey",
    "gar",
]


def make_items(rng: np.random.Generator) -> pd.DataFrame:
    """Columns item_id, domain, brand (or None), categories (list)."""
    rows: list[tuple[str, str, str | None, list[str]]] = []
    used: set[str] = set()
    for domain, branches in TREE.items():
        for branch, leaves in branches.items():
            brands = _names(rng, used)
            weights = 1 / np.arange(1, len(brands) + 1)
            for leaf in leaves:
                for _ in range(ITEMS_PER_LEAF):
                    brand = None if rng.random() < BRANDLESS else rng.choice(brands, p=weights / weights.sum())
                    path = [branch, leaf]
                    if domain == "beauty":
                        path = ["Beauty", *rng.permutation(path)]
                    rows.append((f"S{len(rows):06d}", domain, brand, list(map(str, path))))
    return pd.DataFrame(rows, columns=["item_id", "domain", "brand", "categories"])


def make_events(rng: np.random.Generator, items: pd.DataFrame) -> pd.DataFrame:
    """Columns user_id, event_date, seq, domain, item_id, brand; ordered by user and seq."""
    brands = items["brand"].fillna("").to_numpy(str)
    leaf = items["categories"].map(_leaf).to_numpy(str)
    shelves = {name: np.flatnonzero(leaf == name) for name in sorted(set(leaf))}
    appeal = 1 / np.arange(1, len(shelves) + 1) ** 0.6
    appeal = rng.permutation(appeal / appeal.sum())
    users, days, orders, rows = [], [], [], []
    for user in range(USERS):
        interests = rng.choice(list(shelves), size=4, replace=False, p=appeal)
        taken_up = rng.integers(0, (LAST - FIRST).days)
        affinity = {name: np.exp(rng.gumbel(size=len(shelves[name]))) for name in interests}
        bought: dict[str, list[int]] = {name: [] for name in interests}
        for order, day in enumerate(np.sort(rng.integers(0, (LAST - FIRST).days + 1, size=3 + rng.poisson(9)))):
            open_now = interests if day >= taken_up else interests[:3]
            name = str(rng.choice(open_now, p=_decreasing(len(open_now))))
            bought[name].append(_pick(rng, shelves[name], brands, affinity[name], bought[name]))
            users.append(f"s{user:04d}")
            days.append(FIRST + timedelta(days=int(day)))
            orders.append(order)
            rows.append(bought[name][-1])
    events = items.iloc[rows].reset_index(drop=True).assign(user_id=users, event_date=days, seq=orders)
    events = events[["user_id", "event_date", "seq", "domain", "item_id", "brand"]]
    return events.drop_duplicates(["user_id", "event_date", "item_id"])


def _pick(
    rng: np.random.Generator, shelf: np.ndarray, brands: np.ndarray, affinity: np.ndarray, bought: list[int]
) -> int:
    """Row of the item bought: of a brand bought before or by affinity; never an item twice if it can be helped."""
    fresh = ~np.isin(shelf, bought)
    known = np.isin(brands[shelf], brands[bought]) & (brands[shelf] != "")
    allowed = fresh & known if rng.random() < REPEAT and (fresh & known).any() else fresh
    weights = affinity * (allowed if allowed.any() else 1)
    return int(rng.choice(shelf, p=weights / weights.sum()))


def _names(rng: np.random.Generator, used: set[str]) -> list[str]:
    """Brand names nobody has, most popular first."""
    names: list[str] = []
    while len(names) < BRANDS_PER_BRANCH:
        name = "".join(rng.choice(SYLLABLES, size=rng.integers(2, 4), replace=False)).capitalize()
        if name not in used:
            used.add(name)
            names.append(name)
    return names


def _leaf(path: list[str]) -> str:
    return next(name for name in path if name not in ("Beauty", *TREE["beauty"], *TREE["sports"]))


def _decreasing(n: int) -> np.ndarray:
    weights = 1 / np.arange(1, n + 1)
    return np.asarray(weights / weights.sum())


def generate(target: Path, seed: int = SEED) -> None:
    """Write events.parquet and items.parquet into `target`."""
    rng = np.random.default_rng(seed)
    items = make_items(rng)
    events = make_events(rng, items)
    for name, frame in (("events", events), ("items", items)):
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        pq.write_table(table, target / f"{name}.parquet", compression="zstd")


if __name__ == "__main__":
    generate(Path(__file__).parent)
