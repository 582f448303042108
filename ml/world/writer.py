"""Writes a day of the world as raw-log tables: columns and types of the contract, ids that say nothing.

Ids number the rows of a day in time order, so they tell when and nothing else. Latents do not pass
this file: of what a row means, only what the contract's columns hold is written.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.sources.contract import TABLES
from ml.world.catalogue import Catalogue
from ml.world.clock import DAY, Chance, Stage, timestamps
from ml.world.intents import KINDS, SAVE, SEARCH, VISIT
from ml.world.market import SURFACES
from ml.world.pool import Rows, take
from ml.world.population import Population
from ml.world.response import ATTRIBUTIONS
from ml.world.scenarios import Scenario

ARROW_TYPES = {
    "VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64(), "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"), "DATE": pa.date32(),
}  # fmt: skip
_CATEGORY_KNOWN = {SEARCH: 0.15, VISIT: 0.7, SAVE: 0.9}
_ADVERTISER_KNOWN = {SEARCH: 0.0, VISIT: 0.45, SAVE: 0.6}
"""Share of rows on which the platform has recorded it, by kind."""


class DayWriter:
    """Writes into `<root>/<table>/date=YYYY-MM-DD/part-0.parquet`."""

    def __init__(self, root: Path, population: Population, chance: Chance, scenario: Scenario) -> None:
        self.root, self.population, self._chance, self.scenario = root, population, chance, scenario
        self.first_day = population.settings.first_day
        catalogue: Catalogue = population.catalogue
        self._catalogue = catalogue
        self._users, self._advertisers = pa.array(population.ids), pa.array(catalogue.ids)
        self._ads = pa.array(catalogue.ad_ids)
        self._categories = pa.array(catalogue.subverticals["subvertical"].tolist())
        self._value = catalogue.subverticals["price"].to_numpy(dtype=np.float64)
        self._kind = pa.array(catalogue.subverticals["conversion"].tolist())
        self.rows = dict.fromkeys(TABLES, 0)
        """Rows written so far, by table."""

    def registers(self, day: int) -> None:
        """Entities that are new or changed; days without any have no file."""
        for table, frame in (
            ("advertisers", self._catalogue.advertiser_rows(day, self.first_day)),
            ("ads", self._catalogue.ad_rows(day, self.first_day)),
            ("users", self.population.rows(day, self.first_day)),
        ):
            if len(frame):
                self._write(table, day, {str(c): pa.array(frame[c], from_pandas=True) for c in frame})

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
            "event_id": self._ids("e", day, n),
            "user_id": self._users.take(pa.array(rows["user"])),
            "event_time": timestamps(rows["time"], self.first_day),
            "kind": pa.array(KINDS).take(pa.array(kind)),
            "text": text.take(_places(search)),
            "url": url.take(_places(~search)),
            "category": self._categories.take(_or_null(shown)),
            "advertiser_id": self._advertisers.take(_or_null(np.where(advertiser, rows["advertiser"], -1))),
        }
        self._write("activity", day, columns)

    def impressions(self, day: int, rows: Rows) -> None:
        """Shown ads; the policy does not log its propensities."""
        n = len(rows["time"])
        columns = {
            "impression_id": self._ids("i", day, n),
            "request_id": self._numbered("r", day, rows["request"]),
            "user_id": self._users.take(pa.array(rows["user"])),
            "ad_id": self._ads.take(pa.array(rows["ad"])),
            "event_time": timestamps(rows["time"], self.first_day),
            "surface": pa.array(SURFACES).take(pa.array(rows["surface"])),
            "position": pa.array(rows["position"]),
            "bid": pa.array(rows["bid"]),
            "price_paid": pa.array(rows["price_paid"]),
            "propensity": pa.nulls(n, pa.float64()),
        }
        self._write("impressions", day, columns)

    def clicks(self, day: int, rows: Rows) -> None:
        """Clicks, all on impressions of the same day."""
        columns = {
            "click_id": self._ids("k", day, len(rows["time"])),
            "impression_id": self._numbered("i", day, rows["impression"]),
            "event_time": timestamps(rows["time"], self.first_day),
            "dwell_seconds": pa.array(rows["dwell_seconds"]),
        }
        self._write("clicks", day, columns)

    def conversions(self, day: int, rows: Rows) -> None:
        """Conversions that become known while the world lasts; later ones are not known to anybody."""
        rng = self._chance.of(Stage.TEXT, day + 5_000)
        rows = take(rows, rows["known"] < self.population.settings.total_days * DAY)
        n = len(rows["time"])
        sub = self._catalogue.sub[rows["advertiser"]]
        credited = [
            None if i < 0 else f"i{self._stamp(int(d))}-{i:06d}"
            for i, d in zip(rows["impression"], rows["shown_on"], strict=True)
        ]
        columns = {
            "conversion_id": self._ids("c", day, n),
            "user_id": self._users.take(pa.array(rows["user"])),
            "advertiser_id": self._advertisers.take(pa.array(rows["advertiser"])),
            "ad_id": self._ads.take(_or_null(rows["ad"])),
            "event_time": timestamps(rows["time"], self.first_day),
            "known_at": timestamps(rows["known"], self.first_day),
            "kind": self._kind.take(pa.array(sub)),
            "value": pa.array(np.round(self._value[sub] * np.exp(rng.normal(-0.1, 0.5, n)), 2)),
            "impression_id": pa.array(credited, pa.string()),
            "attribution": pa.array(ATTRIBUTIONS).take(pa.array(rows["attribution"])),
        }
        self._write("conversions", day, columns)

    def _write(self, name: str, day: int, columns: dict[str, pa.Array]) -> None:
        table = TABLES[name]
        schema = pa.schema([pa.field(c.name, ARROW_TYPES[c.type]) for c in table.columns])
        rows = pa.table({c.name: columns[c.name].cast(ARROW_TYPES[c.type]) for c in table.columns}, schema=schema)
        date = self.first_day + timedelta(days=day)
        path = self.root / name / f"date={date.isoformat()}" / "part-0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = self.scenario.deliver(day, name, rows.sort_by([(c, "ascending") for c in table.sort_order]))
        pq.write_table(rows, path, compression="zstd")
        self.rows[name] += len(rows)

    def _stamp(self, day: int) -> str:
        return f"{self.first_day + timedelta(days=day):%y%m%d}"

    def _ids(self, letter: str, day: int, n: int) -> pa.Array:
        return self._numbered(letter, day, np.arange(n))

    def _numbered(self, letter: str, day: int, numbers: np.ndarray) -> pa.Array:
        stamp = self._stamp(day)
        return pa.array([f"{letter}{stamp}-{i:06d}" for i in numbers.tolist()], pa.string())


def _shares(shares: dict[int, float], kind: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.array([shares[k] for k in range(len(KINDS))])[kind]
    return found


def _places(where: np.ndarray) -> pa.Array:
    """Numbers 0, 1, ... at the marked rows, null at the others."""
    return pa.array(np.cumsum(where) - 1, mask=~where)


def _or_null(numbers: np.ndarray) -> pa.Array:
    """Numbers to take by, null where negative."""
    return pa.array(numbers, mask=numbers < 0)
