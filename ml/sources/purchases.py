"""PurchaseLogs: a log of purchases with named brands, read as the raw-log contract through a mapping file.

| in the log | in the contract |
|---|---|
| purchase with a brand | conversion (kind purchase, attribution none, impression_id null, known_at = event_time) |
| purchase without a brand | activity of kind visit: the user was at the item; no save, as nothing was put aside for later |
| item with a brand | ad (category = leaf category, title null) |
| brand | advertiser (vertical = its items' commonest one; active from its first purchase) |
| user | user (consent as the mapping says; profile null without a users file; updated_at = first event) |

A register row is filed under the day its entity is first seen, an item, brand or user without any purchase under
`first_day`. A dated purchase gets the time 00:00:00 plus its place among the user's purchases of that day in
seconds, so that time order is (date, sequence). The purchase's own brand counts even where the items file says
otherwise; such a conversion has no ad_id (`differences` counts them). Names lose spaces around them; ids are hashes
of what they stand for, so the same purchase delivered twice has the same id and ingest sees it.

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
from ml.sources.files import fingerprint_file, literal, load, quoted
from ml.sources.mapping import ItemsMapping, PurchaseMapping
from ml.timeline import Window

UNKNOWN = "uncategorised"
"""Category of an item, and vertical of a brand, of which the log says nothing."""
SLUG = "regexp_replace(regexp_replace(lower(strip_accents({0})), '[^a-z0-9]+', '-', 'g'), '^-|-$', '', 'g')"
ADVERTISER_ID = f"left({SLUG}, 32) || '-' || left(md5({{0}}), 8)"
"""Readable, and unique even for names that differ in case or punctuation only."""
EVENT_ID = "left(md5(concat_ws('|', coalesce(user_id, ''), coalesce(raw_time, ''), coalesce(sequence, ''), item_id)), 20)"


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
        ordered = ", ".join(dict.fromkeys(["_day", *contract.sort_order]))
        return self._con.sql(
            f"SELECT * FROM {table} WHERE _day BETWEEN DATE '{window.first}' AND DATE '{window.last}' ORDER BY {ordered}"
        ).to_arrow_table()

    def fingerprint(self) -> str:
        parts = [self.mapping.events, self.mapping.items, self.mapping.users]
        files = {part.file: fingerprint_file(self._existing(part.file)) for part in parts if part}
        return fingerprint_of([self.mapping.model_dump(mode="json"), files])

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

    @cached_property
    def _con(self) -> duckdb.DuckDBPyConnection:
        """DuckDB with one table per contract table, each with its `_day`."""
        con = duckdb.connect(config={"memory_limit": "2GB"})
        con.execute("SET TimeZone = 'UTC'")
        self._load(con)
        con.execute(_items_sql(self.mapping.items))
        con.execute(self._purchases_sql())
        first = f"DATE '{self.mapping.first_day}'"
        con.execute(_REGISTERS.format(first=first, users=self._users_sql(first)))
        broken = con.execute("SELECT count(*) FROM purchases WHERE moment IS NULL AND raw_time IS NOT NULL").fetchall()
        # One type for the whole log: text as soon as one time in it cannot be read.
        con.execute(_LOGS.format(moment="coalesce(moment::VARCHAR, raw_time)" if broken[0][0] else "moment"))
        return con

    def _load(self, con: duckdb.DuckDBPyConnection) -> None:
        events, items, users = self.mapping.events, self.mapping.items, self.mapping.users
        named = [events.user, self._time_column, events.sequence, events.item, events.advertiser, events.value]
        load(con, self.data / events.file, into="raw_events", columns=[name for name in named if name])
        named = [items.item, items.advertiser, items.category, items.vertical]
        load(con, self.data / items.file, into="raw_items", columns=[name for name in named if name])
        if users:
            named = [users.user, users.age_bucket, users.gender, users.region, users.consent]
            load(con, self.data / users.file, into="raw_users", columns=[name for name in named if name])

    def _purchases_sql(self) -> str:
        """Table `purchases`: user_id, item_id, brand, value, raw_time, moment, day (of `moment`), _day (filed under)."""
        events = self.mapping.events
        brand, join = (_name(events.advertiser), "") if events.advertiser else ("brand_of_item", _BRAND_OF_ITEM)
        sequence = quoted(events.sequence) if events.sequence else "NULL"
        time = quoted(self._time_column)
        moment = f"TRY_CAST({time} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
        place = "dense_rank() OVER (PARTITION BY user_id, moment ORDER BY TRY_CAST(sequence AS DOUBLE), sequence, item_id)"
        if events.date:
            moment = f"date_trunc('day', {moment})"
        last = f"DATE '{self.mapping.last_day}'" if self.mapping.last_day else "day"
        return f"""
            CREATE TABLE purchases AS
            SELECT * EXCLUDE (moment), {f"moment + to_seconds({place} - 1)" if events.date else "moment"} AS moment,
                   moment::DATE AS day,
                   coalesce(greatest(least(day, {last}), DATE '{self.mapping.first_day}'), DATE '{self.mapping.first_day}')
                       AS _day
            FROM (SELECT {quoted(events.user)}::VARCHAR AS user_id, {quoted(events.item)}::VARCHAR AS item_id,
                         {sequence}::VARCHAR AS sequence, {quoted(events.value) if events.value else "NULL::DOUBLE"} AS value,
                         {time}::VARCHAR AS raw_time, {moment} AS moment, {brand} AS brand
                  FROM raw_events {join.format(quoted(events.item))})"""

    def _users_sql(self, first: str) -> str:
        """SELECT of the users register."""
        users = self.mapping.users
        if users is None:
            listed = "(SELECT DISTINCT user_id FROM purchases WHERE user_id IS NOT NULL)"
            fields = "NULL::VARCHAR AS age_bucket, NULL::VARCHAR AS gender, NULL::VARCHAR AS region, true AS consent"
        else:
            listed = f"(SELECT {quoted(users.user)}::VARCHAR AS user_id, * EXCLUDE ({quoted(users.user)}) FROM raw_users)"
            columns = {"age_bucket": users.age_bucket, "gender": users.gender, "region": users.region}
            parts = [f"{quoted(column) if column else 'NULL'}::VARCHAR AS {field}" for field, column in columns.items()]
            fields = ", ".join([*parts, f"{quoted(users.consent) if users.consent else 'true'} AS consent"])
        return f"""
            SELECT user_id, {fields}, coalesce(seen.moment, {first}::TIMESTAMP) AS updated_at,
                   coalesce(seen._day, {first}) AS _day
            FROM {listed} LEFT JOIN
                 (SELECT user_id, min(moment) AS moment, min(_day) AS _day FROM purchases GROUP BY ALL) seen USING (user_id)"""


def _name(column: str) -> str:
    """A brand's name: without spaces around it, null if nothing is left."""
    return f"nullif(trim({quoted(column)}::VARCHAR), '')"


def _items_sql(items: ItemsMapping) -> str:
    """Tables `item_rows` (one per row of the file) and `item` (one per item, for look-ups)."""
    pick = {
        "first": "min_by(category, place)",
        "last": "max_by(category, place)",
        "rarest": f"""coalesce(min_by(category, (items, -place, category)) FILTER (items >= {items.min_items}),
                               max_by(category, (items, place, category)))""",
    }[items.leaf]
    vertical = _name(items.vertical) if items.vertical else "NULL"
    return f"""
        CREATE TABLE listed AS
        SELECT row_number() OVER () AS row, {quoted(items.item)}::VARCHAR AS item_id, {_name(items.advertiser)} AS brand,
               {vertical} AS vertical, TRY_CAST({_category_list(items.category)} AS VARCHAR[]) AS categories
        FROM raw_items;
        CREATE TABLE one_category AS
        SELECT row, item_id, unnest(categories) AS category, generate_subscripts(categories, 1) AS place FROM listed;
        CREATE TABLE item_rows AS
        WITH size AS (SELECT category, count(DISTINCT item_id) AS items FROM one_category GROUP BY ALL),
             chosen AS (SELECT row, {pick} AS leaf, max_by(category, (items, -place, category)) AS broad
                        FROM one_category JOIN size USING (category) WHERE trim(category) <> '' GROUP BY row)
        SELECT item_id, brand, coalesce(leaf, vertical, {literal(UNKNOWN)}) AS category,
               coalesce(vertical, broad, {literal(UNKNOWN)}) AS vertical
        FROM listed LEFT JOIN chosen USING (row);
        CREATE TABLE item AS
        SELECT item_id, min(category) AS category, min(brand) AS brand, count(DISTINCT brand) AS brands
        FROM item_rows WHERE item_id IS NOT NULL GROUP BY ALL;"""


def _category_list(column: str) -> str:
    name = quoted(column)
    return f"CASE WHEN typeof({name}) LIKE '%[]' THEN {name}::VARCHAR[] ELSE [{name}::VARCHAR] END"


_BRAND_OF_ITEM = (
    "LEFT JOIN (SELECT item_id AS looked_up_item, brand AS brand_of_item FROM item) ON looked_up_item = {}::VARCHAR"
)

_REGISTERS = f"""
    CREATE TABLE advertisers AS
    WITH seen AS (SELECT brand, min(day) AS first, min(_day) AS _day FROM purchases GROUP BY ALL),
         verticals AS (SELECT brand, vertical, count(*) AS items FROM item_rows GROUP BY ALL),
         vertical AS (SELECT brand, min_by(vertical, (-items, vertical)) AS vertical FROM verticals GROUP BY brand)
    SELECT {ADVERTISER_ID.format("brand")} AS advertiser_id, brand AS name,
           coalesce(vertical, {literal(UNKNOWN)}) AS vertical, coalesce(first, {{first}}) AS active_from,
           NULL::DATE AS active_to, coalesce(_day, {{first}}) AS _day
    FROM seen FULL JOIN vertical USING (brand) WHERE brand IS NOT NULL;
    CREATE TABLE ads AS
    WITH seen AS (SELECT item_id, min(_day) AS _day FROM purchases GROUP BY ALL)
    SELECT item_id AS ad_id, {ADVERTISER_ID.format("brand")} AS advertiser_id, NULL::VARCHAR AS title, category,
           NULL::DOUBLE AS price, NULL::TIMESTAMP AS created_at, coalesce(_day, {{first}}) AS _day
    FROM item_rows LEFT JOIN seen USING (item_id) WHERE brand IS NOT NULL;
    CREATE TABLE users AS {{users}};
"""

_LOGS = f"""
    CREATE TABLE conversions AS
    SELECT 'c' || {EVENT_ID} AS conversion_id, user_id, {ADVERTISER_ID.format("p.brand")} AS advertiser_id,
           CASE WHEN item.brands = 1 AND item.brand = p.brand THEN item_id END AS ad_id, {{moment}} AS event_time,
           {{moment}} AS known_at, 'purchase' AS kind, value, NULL::VARCHAR AS impression_id, 'none' AS attribution, _day
    FROM purchases p LEFT JOIN item USING (item_id) WHERE p.brand IS NOT NULL;
    CREATE TABLE activity AS
    SELECT 'v' || {EVENT_ID} AS event_id, user_id, {{moment}} AS event_time, 'visit' AS kind, NULL::VARCHAR AS text,
           NULL::VARCHAR AS url, item.category, NULL::VARCHAR AS advertiser_id, _day
    FROM purchases p LEFT JOIN item USING (item_id) WHERE p.brand IS NULL;
"""
