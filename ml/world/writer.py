"""Writes a shard's day of the world as raw-log tables: columns and types of the contract, ids that say nothing.

Ids number the rows of a shard's day in time order, so they tell when and which shard, and nothing else. Latents do not
pass this file: of what a row means, only what the contract's columns hold is written. Every shard writes a file of its
own; the first one also writes the registers of advertisers and ads.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.sources.contract import TABLES
from ml.world.budgets import MICROS
from ml.world.clock import DAY, Chance, Stage, timestamps
from ml.world.credit import ATTRIBUTIONS
from ml.world.intents import KINDS, SAVE, SEARCH, VISIT
from ml.world.market import SURFACES
from ml.world.pool import Rows, take
from ml.world.shard import DayRows, Shard

ARROW_TYPES = {
    "VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64(), "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"), "DATE": pa.date32(),
}  # fmt: skip
_CATEGORY_KNOWN = {SEARCH: 0.15, VISIT: 0.7, SAVE: 0.9}
_ADVERTISER_KNOWN = {SEARCH: 0.0, VISIT: 0.45, SAVE: 0.6}
"""Share of rows on which the platform has recorded it, by kind."""
_OFTEN_ALIKE = ["user_id", "ad_id", "advertiser_id", "kind", "category", "surface", "attribution", "impression_id"]
"""Columns whose values repeat, so that a dictionary pays."""
_PER_SHARD = 1_000_000
"""More than a shard can have rows of a table in a day."""


class DayWriter:
    """Writes a shard into `<root>/<table>/date=YYYY-MM-DD/part-<shard>.parquet`."""

    def __init__(self, root: Path, shard: Shard) -> None:
        self.root, self.population, self.scenario = root, shard.population, shard.scenario
        self._catalogue, self._number = shard.catalogue, shard.number
        self._chance = Chance(shard.seed, shard.number)
        self.first_day = shard.settings.first_day
        self._end = shard.settings.total_days * DAY
        self._users, self._advertisers = pa.array(self.population.ids), pa.array(self._catalogue.ids)
        self._ads = pa.array(self._catalogue.ad_ids)
        self._categories = pa.array(self._catalogue.subverticals["subvertical"].tolist())
        self._kind = pa.array(self._catalogue.subverticals["conversion"].tolist())
        self._written: Counter[str] = Counter()

    def write(self, day: int, lived: DayRows) -> Counter[str]:
        """Write a day; returns rows by table."""
        self._written = Counter()
        self.registers(day)
        self.activity(day, lived.activity)
        self.impressions(day, lived.shown)
        self.clicks(day, lived.clicks)
        self.conversions(day, lived.conversions)
        return self._written

    def registers(self, day: int) -> None:
        """Entities that are new or changed; days without any have no file."""
        frames = {"users": self.population.rows(day, self.first_day)}
        if self._number == 0:
            frames["advertisers"] = self._catalogue.advertiser_rows(day, self.first_day)
            frames["ads"] = self._catalogue.ad_rows(day, self.first_day)
        for table, frame in frames.items():
            if len(frame):
                rows = frame.sort_values(TABLES[table].sort_order[0], kind="stable")
                self._write(table, day, {str(c): pa.array(rows[c], from_pandas=True) for c in rows})

    def activity(self, day: int, rows: Rows) -> None:
        """Searches, visits and saves, as planned by `Intents`."""
        rows = take(rows, np.lexsort((rows["kind"], rows["user"], rows["time"])))
        rng = self._chance.of(Stage.TEXT, day)
        n = len(rows["time"])
        kind, sub = rows["kind"], rows["sub"]
        there = (rows["advertiser"] >= 0) & self._catalogue.active(day)[rows["advertiser"]]
        category = (sub >= 0) & (rng.random(n) < _shares(_CATEGORY_KNOWN, kind))
        advertiser = there & (rng.random(n) < _shares(_ADVERTISER_KNOWN, kind))
        named = np.where(there & (rows["branded"] == 1), rows["advertiser"], -1)
        shown = np.where(category, sub, -1)
        grammar = self._catalogue.grammar
        search = kind == SEARCH
        text = grammar.queries(sub[search], named[search], rng)
        url = grammar.urls(shown[~search], rng)
        columns = {
            "event_id": self._numbered("e", day, np.arange(n)),
            "user_id": self._users.take(pa.array(rows["user"])),
            "event_time": timestamps(rows["time"], self.first_day),
            "kind": pa.array(KINDS).take(pa.array(kind)),
            "text": text.take(_places(search)),
            "url": url.take(_places(~search)),
            "category": self._categories.take(_or_null(shown)),
            "advertiser_id": self._advertisers.take(_or_null(np.where(advertiser, rows["advertiser"], -1))),
        }
        self._write("activity", day, columns, rows["user"])

    def impressions(self, day: int, rows: Rows) -> None:
        """Shown ads; propensities of the random slice only, as the policy knows no others."""
        unknown = np.isnan(rows["propensity"])
        columns = {
            "impression_id": self._numbered("i", day, rows["impression"]),
            "request_id": self._numbered("r", day, rows["request"]),
            "user_id": self._users.take(pa.array(rows["user"])),
            "ad_id": self._ads.take(pa.array(rows["ad"])),
            "event_time": timestamps(rows["time"], self.first_day),
            "surface": pa.array(SURFACES).take(pa.array(rows["surface"])),
            "position": pa.array(rows["place"]),
            "bid": pa.array(np.round(rows["bid"], 4)),
            "price_paid": pa.array(rows["price"] / MICROS),
            "propensity": pa.array(rows["propensity"], mask=unknown),
        }
        self._write("impressions", day, columns, rows["user"])

    def clicks(self, day: int, rows: Rows) -> None:
        """Clicks, all on impressions of the same day."""
        columns = {
            "click_id": self._numbered("k", day, np.arange(len(rows["time"]))),
            "impression_id": self._numbered("i", day, rows["impression"]),
            "event_time": timestamps(rows["time"], self.first_day),
            "dwell_seconds": pa.array(rows["dwell_seconds"]),
        }
        self._write("clicks", day, columns)

    def conversions(self, day: int, rows: Rows) -> None:
        """Conversions that become known while the world lasts; later ones are not known to anybody."""
        rows = take(rows, rows["known"] < self._end)
        columns = {
            "conversion_id": self._numbered("c", day, np.arange(len(rows["time"]))),
            "user_id": self._users.take(pa.array(rows["user"])),
            "advertiser_id": self._advertisers.take(pa.array(rows["advertiser"])),
            "ad_id": self._ads.take(_or_null(rows["ad"])),
            "event_time": timestamps(rows["time"], self.first_day),
            "known_at": timestamps(rows["known"], self.first_day),
            "kind": self._kind.take(pa.array(self._catalogue.sub[rows["advertiser"]])),
            "value": pa.array(rows["value"]),
            "impression_id": self._credited(rows["impression"], rows["shown_on"]),
            "attribution": pa.array(ATTRIBUTIONS).take(pa.array(rows["attribution"])),
        }
        self._write("conversions", day, columns, rows["user"])

    def _credited(self, impressions: np.ndarray, days: np.ndarray) -> pa.Array:
        """Ids of impressions of any days, null where negative."""
        known = np.unique(days[impressions >= 0])
        stamps = pa.array([f"i{self._stamp(int(day))}-" for day in known], pa.string())
        which = pa.array(np.searchsorted(known, days), mask=impressions < 0)
        return pc.binary_join_element_wise(stamps.take(which), self._digits(impressions), "")

    def _write(self, name: str, day: int, columns: dict[str, pa.Array], user: np.ndarray | None = None) -> None:
        """Write rows that are in time order, sorted by `user` if given: the order of the contract."""
        table = TABLES[name]
        schema = pa.schema([pa.field(c.name, ARROW_TYPES[c.type]) for c in table.columns])
        rows = pa.table({c.name: columns[c.name].cast(ARROW_TYPES[c.type]) for c in table.columns}, schema=schema)
        if user is not None:
            rows = rows.take(pa.array(np.argsort(user, kind="stable")))
        date = self.first_day + timedelta(days=day)
        path = self.root / name / f"date={date.isoformat()}" / f"part-{self._number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = self.scenario.deliver(day, name, rows)
        often = [column for column in _OFTEN_ALIKE if column in schema.names[1:]]
        pq.write_table(rows, path, compression="zstd", use_dictionary=often)
        self._written[name] += len(rows)

    def _stamp(self, day: int) -> str:
        return f"{self.first_day + timedelta(days=day):%y%m%d}"

    def _numbered(self, letter: str, day: int, numbers: np.ndarray) -> pa.Array:
        return pc.binary_join_element_wise(f"{letter}{self._stamp(day)}-", self._digits(numbers), "")

    def _digits(self, numbers: np.ndarray) -> pa.Array:
        """Numbers of a shard's rows as text of six digits, with the shard's number before them, except the first's."""
        text = pc.cast(pa.array(np.maximum(numbers, 0) + self._number * _PER_SHARD), pa.string())
        return pc.utf8_lpad(text, 6, "0")


def _shares(shares: dict[int, float], kind: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.array([shares[k] for k in range(len(KINDS))])[kind]
    return found


def _places(where: np.ndarray) -> pa.Array:
    """Numbers 0, 1, ... at the marked rows, null at the others."""
    return pa.array(np.cumsum(where) - 1, mask=~where)


def _or_null(numbers: np.ndarray) -> pa.Array:
    """Numbers to take by, null where negative."""
    return pa.array(numbers, mask=numbers < 0)
