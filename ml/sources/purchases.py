"""PurchaseLogs: a log of purchases with named brands, read as the raw-log contract through a mapping file.

| in the log | in the contract |
|---|---|
| purchase with a brand | conversion (kind purchase, attribution none, impression_id null, known_at = event_time) |
| purchase without a brand | activity of kind visit: the user was at the item (not save: nothing was put aside) |
| item with a brand | ad (category = leaf category, title null) |
| brand | advertiser (vertical = its items' commonest one; active from its first purchase) |
| user | user (consent as the mapping says; profile null without a users file; updated_at = first event) |

A register row is filed under the day its entity is first seen, never before `first_day`: an item nobody bought with
its brand, a brand or user without any purchase under `first_day`. A dated purchase gets the time 00:00:00 plus its
place among the user's purchases of that day in seconds, so that time order is (date, sequence). The purchase's own
brand counts even where the items file says otherwise; such a conversion has no ad_id (`differences` counts them).
Names lose spaces around them; ids are hashes of what they stand for, so the same purchase delivered twice has the
same id and ingest sees it.

Nothing is filtered: a purchase whose day cannot be read is filed under `first_day` as it came, for ingest to
quarantine. Leaf categories and verticals are computed over the whole items file: they are static facts of the
catalogue, no purchase enters them.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa

from ml.artifacts import fingerprint_of
from ml.errors import BadInput
from ml.sources.contract import TABLES
from ml.sources.files import file_problems, fingerprint_file, load
from ml.sources.mapping import PurchaseMapping
from ml.sources.problem import Problem
from ml.sources.purchase_tables import build
from ml.timeline import Window


class PurchaseLogs:
    """A LogSource over the files that `mapping` names inside `data`; they are read once, when first asked."""

    def __init__(self, data: Path, mapping: PurchaseMapping) -> None:
        self.data = data
        self.mapping = mapping
        self.name = mapping.name
        self.backlog_day: date = mapping.first_day
        """History from before this day is filed under it (see `ml.sources.ingest`)."""

    def window(self) -> Window:
        """From the mapping's `first_day` to its `last_day`, or to the day of the last purchase."""
        last = self.mapping.last_day or self._con.execute("SELECT max(day) FROM purchases").fetchall()[0][0]
        if last is None or last < self.mapping.first_day:
            raise BadInput(
                f"no purchase on or after first_day {self.mapping.first_day} (last one: {last})",
                where=f"{self.data / self.mapping.events.file}, column {self._time_column!r}",
                remedy="set first_day in the mapping to a day before the last purchase",
            )
        return Window(self.mapping.first_day, last)

    def tables(self) -> set[str]:
        """Always these: such a log has neither impressions nor clicks."""
        return {"advertisers", "ads", "users", "activity", "conversions"}

    def read(self, table: str, window: Window) -> pa.Table:
        """See LogSource.read; columns in the contract's order, then `_day`."""
        if table not in self.tables():
            raise BadInput(
                f"a purchase log has no {table}", where=self.name, remedy=f"ask for {', '.join(self.tables())}"
            )
        contract = TABLES[table]
        ordered = ", ".join(dict.fromkeys(["_day", *contract.sort_order, *contract.column_names]))
        days = f"_day BETWEEN DATE '{window.first}' AND DATE '{window.last}'"
        return self._con.sql(f"SELECT * FROM {table} WHERE {days} ORDER BY {ordered}").to_arrow_table()

    def fingerprint(self, day: date | None = None) -> str:
        """See LogSource.fingerprint; one file holds all days, so every day has the same."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        parts = [self.mapping.events, self.mapping.items, self.mapping.users]
        files = {part.file: fingerprint_file(self._existing(part.file)) for part in parts if part}
        return fingerprint_of([self.mapping.model_dump(mode="json"), files])

    def problems(self) -> list[Problem]:
        """Every file that is missing or cannot be read, and every mapped column that one lacks."""
        found: list[Problem] = []
        for file, columns in self._wanted().values():
            found += file_problems(self.data / file, columns)
        return found

    def differences(self) -> dict[str, int]:
        """Where events and items disagree, in purchases (nothing of it is dropped): for reports."""
        counted = self._con.execute(
            """SELECT count(*) FILTER (i.item_id IS NULL), count(*) FILTER (i.brands > 1),
                      count(*) FILTER (i.brands <= 1 AND p.brand IS DISTINCT FROM i.brand)
               FROM purchases p LEFT JOIN item i USING (item_id)"""
        ).fetchall()[0]
        names = ("item not in the items file", "item with several brands", "brand other than the item's")
        return dict(zip(names, counted, strict=True))

    @property
    def _time_column(self) -> str:
        return self.mapping.events.date or self.mapping.events.timestamp or ""

    def _existing(self, name: str) -> Path:
        path = self.data / name
        if not path.is_file():
            raise BadInput("no such file", where=str(path), remedy="set DATA to the directory that holds it")
        return path

    @property
    def _con(self) -> duckdb.DuckDBPyConnection:
        """DuckDB with one table per contract table, each with its `_day`."""
        if isinstance(self._loaded, BadInput):
            raise self._loaded
        return self._loaded

    @cached_property
    def _loaded(self) -> duckdb.DuckDBPyConnection | BadInput:
        """The tables, or why there are none: files that cannot be read are not read again for every table."""
        con = duckdb.connect(config={"memory_limit": "2GB"})
        con.execute("SET TimeZone = 'UTC'")
        try:
            self._load(con)
        except BadInput as error:
            return error
        build(con, self.mapping)
        return con

    def _load(self, con: duckdb.DuckDBPyConnection) -> None:
        for into, (file, columns) in self._wanted().items():
            load(con, self.data / file, into=into, columns=columns)

    def _wanted(self) -> dict[str, tuple[str, list[str]]]:
        """The table to load each file into, the file's name and its columns that the mapping names."""
        events, items, users = self.mapping.events, self.mapping.items, self.mapping.users
        named: dict[str, tuple[str, list[str | None]]] = {
            "raw_events": (
                events.file,
                [events.user, self._time_column, events.sequence, events.item, events.advertiser, events.value],
            ),
            "raw_items": (items.file, [items.item, items.advertiser, items.category, items.vertical]),
        }
        if users:
            fields = [users.user, users.age_bucket, users.gender, users.region, users.consent]
            named["raw_users"] = (users.file, fields)
        return {into: (file, [name for name in columns if name]) for into, (file, columns) in named.items()}
