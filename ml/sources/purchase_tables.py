"""The contract's tables out of a purchase log, as SQL; what becomes of what is said in `ml.sources.purchases`.

`build` turns raw_events, raw_items and (if mapped) raw_users, as loaded, into one DuckDB table per contract
table, each with `_day`. It filters nothing.
"""

from __future__ import annotations

import duckdb

from ml.sources.files import literal, quoted
from ml.sources.mapping import ItemsMapping, PurchaseMapping, UsersMapping

UNKNOWN = "uncategorised"
"""Category of an item, and vertical of a brand, of which the log says nothing."""
SLUG = "regexp_replace(regexp_replace(lower(strip_accents({0})), '[^a-z0-9]+', '-', 'g'), '^-|-$', '', 'g')"
ADVERTISER_ID = f"left({SLUG}, 32) || '-' || left(md5({{0}}), 8)"
"""Readable, and unique even for names that differ in case or punctuation only."""
EVENT_ID = (
    "left(md5(concat_ws('|', coalesce(user_id, ''), coalesce(raw_time, ''), coalesce(sequence, ''), item_id)), 20)"
)


def build(con: duckdb.DuckDBPyConnection, mapping: PurchaseMapping) -> None:
    """Create `purchases`, `item` and the contract's tables advertisers, ads, users, conversions, activity."""
    con.execute(_items(mapping.items))
    con.execute(_purchases(mapping))
    first = f"DATE '{mapping.first_day}'"
    con.execute(_REGISTERS.format(first=first))
    con.execute(_users(mapping.users, first))
    unread = con.execute("SELECT count(*) FROM purchases WHERE moment IS NULL AND raw_time IS NOT NULL").fetchall()
    # One type for the whole log: text as soon as one time in it cannot be read.
    con.execute(_LOGS.format(moment="coalesce(moment::VARCHAR, raw_time)" if unread[0][0] else "moment"))


def _name(column: str) -> str:
    """A name: without spaces around it, null if nothing is left."""
    return f"nullif(trim({quoted(column)}::VARCHAR), '')"


def _items(items: ItemsMapping) -> str:
    """Tables `item_rows` (one per row of the file) and `item` (one per item, for look-ups)."""
    pick = {
        "first": "min_by(category, place)",
        "last": "max_by(category, place)",
        "rarest": f"""coalesce(min_by(category, (items, -place, category)) FILTER (items >= {items.min_items}),
                               max_by(category, (items, place, category)))""",
    }[items.leaf]
    category = quoted(items.category)
    return f"""
        CREATE TABLE listed AS
        SELECT row_number() OVER () AS row, {quoted(items.item)}::VARCHAR AS item_id,
               {_name(items.advertiser)} AS brand, {_name(items.vertical) if items.vertical else "NULL"} AS vertical,
               CASE WHEN typeof({category}) LIKE '%[]' THEN TRY_CAST({category} AS VARCHAR[])
                    ELSE [{category}::VARCHAR] END AS categories
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


def _purchases(mapping: PurchaseMapping) -> str:
    """Table `purchases`: user_id, item_id, sequence, value, brand, raw_time, moment, day (of it), _day (of filing)."""
    events = mapping.events
    time = quoted(events.date or events.timestamp or "")
    moment = f"TRY_CAST({time} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
    order = "TRY_CAST(sequence AS DOUBLE), sequence, item_id"
    place = f"to_seconds(dense_rank() OVER (PARTITION BY user_id, read_time ORDER BY {order}) - 1)"
    if events.date:
        moment = f"date_trunc('day', {moment})"
    brand, join = (_name(events.advertiser), "") if events.advertiser else ("brand_of_item", _BRAND_OF_ITEM)
    filed = f"least(day, DATE '{mapping.last_day}')" if mapping.last_day else "day"
    first = f"DATE '{mapping.first_day}'"
    return f"""
        CREATE TABLE purchases AS
        SELECT * EXCLUDE (read_time), read_time {f"+ {place}" if events.date else ""} AS moment,
               read_time::DATE AS day, CASE WHEN day IS NULL THEN {first} ELSE greatest({filed}, {first}) END AS _day
        FROM (SELECT {quoted(events.user)}::VARCHAR AS user_id, {quoted(events.item)}::VARCHAR AS item_id,
                     {quoted(events.sequence) if events.sequence else "NULL"}::VARCHAR AS sequence,
                     {quoted(events.value) if events.value else "NULL::DOUBLE"} AS value, {brand} AS brand,
                     {time}::VARCHAR AS raw_time, CASE WHEN isfinite({moment}) THEN {moment} END AS read_time
              FROM raw_events {join.format(quoted(events.item))})"""


def _users(users: UsersMapping | None, first: str) -> str:
    """Table `users`: those of the users file, or else all that the events name."""
    if users is None:
        listed = "(SELECT DISTINCT user_id FROM purchases WHERE user_id IS NOT NULL)"
        fields = "NULL::VARCHAR AS age_bucket, NULL::VARCHAR AS gender, NULL::VARCHAR AS region, true AS consent"
    else:
        # `given` as a struct: whatever its columns are called, they cannot be taken for ours.
        listed = f"(SELECT {quoted(users.user)}::VARCHAR AS user_id, raw_users AS given FROM raw_users)"
        columns = {"age_bucket": users.age_bucket, "gender": users.gender, "region": users.region}
        parts = [f"{f'given.{quoted(c)}' if c else 'NULL'}::VARCHAR AS {field}" for field, c in columns.items()]
        fields = ", ".join([*parts, f"{f'given.{quoted(users.consent)}' if users.consent else 'true'} AS consent"])
    return f"""
        CREATE TABLE users AS
        WITH seen AS (SELECT user_id, min(moment) AS moment, min(_day) AS _day FROM purchases
                      WHERE moment IS NOT NULL GROUP BY ALL)
        SELECT user_id, {fields}, coalesce(seen.moment, {first}::TIMESTAMP) AS updated_at,
               coalesce(seen._day, {first}) AS _day
        FROM {listed} LEFT JOIN seen USING (user_id)"""


_BRAND_OF_ITEM = (
    "LEFT JOIN (SELECT item_id AS looked_up_item, brand AS brand_of_item FROM item) ON looked_up_item = {}::VARCHAR"
)

_REGISTERS = f"""
    CREATE TABLE item_seen AS
    SELECT item_id, min(_day) AS _day FROM purchases WHERE moment IS NOT NULL GROUP BY ALL;
    CREATE TABLE brand_seen AS
    SELECT brand, min(day) AS bought, min(_day) AS _day
    FROM (SELECT brand, day, _day FROM purchases WHERE moment IS NOT NULL
          UNION ALL SELECT brand, NULL, _day FROM item_rows JOIN item_seen USING (item_id)
          UNION ALL SELECT brand, NULL, NULL FROM item_rows
          UNION ALL SELECT brand, NULL, NULL FROM purchases)
    WHERE brand IS NOT NULL GROUP BY ALL;
    CREATE TABLE advertisers AS
    WITH verticals AS (SELECT brand, vertical, count(*) AS items FROM item_rows GROUP BY ALL),
         vertical AS (SELECT brand, min_by(vertical, (-items, vertical)) AS vertical FROM verticals GROUP BY brand)
    SELECT {ADVERTISER_ID.format("brand")} AS advertiser_id, brand AS name,
           coalesce(vertical, {literal(UNKNOWN)}) AS vertical, coalesce(bought, _day, {{first}}) AS active_from,
           NULL::DATE AS active_to, coalesce(_day, {{first}}) AS _day
    FROM brand_seen LEFT JOIN vertical USING (brand);
    CREATE TABLE ads AS
    SELECT item_id AS ad_id, {ADVERTISER_ID.format("brand")} AS advertiser_id, NULL::VARCHAR AS title, category,
           NULL::DOUBLE AS price, NULL::TIMESTAMP AS created_at,
           coalesce(item_seen._day, brand_seen._day, {{first}}) AS _day
    FROM item_rows JOIN brand_seen USING (brand) LEFT JOIN item_seen USING (item_id);
"""

_LOGS = f"""
    CREATE TABLE conversions AS
    SELECT 'c' || {EVENT_ID} AS conversion_id, user_id, {ADVERTISER_ID.format("p.brand")} AS advertiser_id,
           CASE WHEN item.brands = 1 AND item.brand = p.brand THEN item_id END AS ad_id, {{moment}} AS event_time,
           {{moment}} AS known_at, 'purchase' AS kind, value, NULL::VARCHAR AS impression_id,
           'none' AS attribution, _day
    FROM purchases p LEFT JOIN item USING (item_id) WHERE p.brand IS NOT NULL;
    CREATE TABLE activity AS
    SELECT 'v' || {EVENT_ID} AS event_id, user_id, {{moment}} AS event_time, 'visit' AS kind, NULL::VARCHAR AS text,
           NULL::VARCHAR AS url, item.category, NULL::VARCHAR AS advertiser_id, _day
    FROM purchases p LEFT JOIN item USING (item_id) WHERE p.brand IS NULL;
"""
