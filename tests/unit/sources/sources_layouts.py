"""The same logs in other layouts, each with its mapping: what is read through it must be the logs.

A layout takes contract tables as DuckDB views (with `_day`, the filing day) and writes files as another exporter
would; written with DuckDB's own COPY, apart from the code it tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ml.sources.contract import TABLES
from ml.sources.log_mapping import LogMapping

ZONE = "America/New_York"
LOCAL = f"timezone('{ZONE}', timezone('UTC', {{}}))"
MEANT = {"search": "q", "visit": "pv", "save": "fav"}
NUMBERED = {"none": 0, "click": 1, "view": 2}


@dataclass(frozen=True)
class Layout:
    """Writes views into a directory; says with which mapping they are read."""

    write: Callable[[duckdb.DuckDBPyConnection, Path], None]
    tables: dict[str, Any]
    time_zone: str | None = None
    consent: str = "column"

    def mapping(self, **more: Any) -> LogMapping:
        stated = {"name": "mine", "consent": self.consent, "time_zone": self.time_zone, **self.tables, **more}
        return LogMapping.model_validate(stated)


def views(logs: Path) -> duckdb.DuckDBPyConnection:
    """Contract-layout files as typed views with `_day`."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    for table in TABLES.values():
        columns = ", ".join(f"{c.name}::{c.type} AS {c.name}" for c in table.columns)
        files = f"read_parquet('{logs}/{table.name}/date=*/*.parquet', hive_partitioning=true)"
        con.execute(f"CREATE VIEW {table.name} AS SELECT {columns}, date::DATE AS _day FROM {files}")
    return con


def copy(
    con: duckdb.DuckDBPyConnection, select: str, path: Path, *, partition: str = "", kind: str = "PARQUET"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = f"FORMAT {kind}" + (f", PARTITION_BY ({partition}), OVERWRITE_OR_IGNORE" if partition else "")
    con.execute(f"COPY ({select}) TO '{path}' ({options})")


def case(column: str, values: dict[str, Any]) -> str:
    whens = " ".join(f"WHEN '{key}' THEN {value!r}" for key, value in values.items())
    return f"CASE {column} {whens} END"


def _write_flat(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    """One Parquet file a table: every column renamed, epoch milliseconds, cents, local clock, hashed ids."""
    selects = {
        "advertisers": "SELECT md5(advertiser_id) AS brand, name AS title, vertical AS line, active_from AS since, "
        "active_to AS until, _day AS filed FROM advertisers",
        "ads": "SELECT md5(ad_id) AS creative, md5(advertiser_id) AS brand, title AS headline, category AS topic, "
        "(price * 100)::BIGINT AS price_cents, epoch_ms(created_at) AS made_ms, _day AS filed FROM ads",
        "users": f"SELECT md5(user_id) AS member, age_bucket AS age, gender AS sex, region AS place, "
        f"CASE WHEN consent THEN 'in' ELSE 'out' END AS opted, {LOCAL.format('updated_at')} AS changed FROM users",
        "activity": f"SELECT md5(event_id) AS hit, md5(user_id) AS member, epoch_ms(event_time) AS ts, "
        f"{case('kind', MEANT)} AS what, text AS words, url AS page, category AS topic, md5(advertiser_id) AS brand "
        "FROM activity ORDER BY event_time",
        "impressions": f"SELECT md5(impression_id) AS imp, md5(request_id) AS req, md5(user_id) AS member, "
        f"md5(ad_id) AS creative, strftime({LOCAL.format('event_time')}, '%d.%m.%Y %H:%M:%S') AS shown, "
        "surface AS slot, position AS rank, bid AS offer, (price_paid * 1000000) AS micros, propensity AS p "
        "FROM impressions",
        "clicks": f"SELECT md5(click_id) AS k, md5(impression_id) AS imp, {LOCAL.format('event_time')} AS at, "
        "dwell_seconds * 1000 AS dwell_ms FROM clicks ORDER BY event_time",
        "conversions": f"SELECT md5(conversion_id) AS c, md5(user_id) AS member, md5(advertiser_id) AS brand, "
        "md5(ad_id) AS creative, timezone('UTC', event_time) AS at, epoch_us(known_at) AS known, kind AS sort, "
        f"round(value * 100)::BIGINT AS cents, md5(impression_id) AS imp, {case('attribution', NUMBERED)} AS how "
        "FROM conversions",
    }
    for name, select in selects.items():
        copy(con, select, root / f"{name}.parquet")


FLAT = Layout(
    _write_flat,
    {
        "advertisers": {
            "files": "advertisers.parquet",
            "filed_by": "active_from",
            "columns": {
                "advertiser_id": "brand", "name": "title", "vertical": "line",
                "active_from": "since", "active_to": "until",
            },
        },
        "ads": {
            "files": "ads.parquet",
            "filed_by": "created_at",
            "columns": {
                "ad_id": "creative", "advertiser_id": "brand", "title": "headline", "category": "topic",
                "price": {"column": "price_cents", "scale": 0.01}, "created_at": {"column": "made_ms", "unit": "ms"},
            },
        },
        "users": {
            "files": "users.parquet",
            "filed_by": "updated_at",
            "columns": {
                "user_id": "member", "age_bucket": "age", "gender": "sex", "region": "place", "updated_at": "changed",
                "consent": {"column": "opted", "values": {"in": True, "out": False}},
            },
        },
        "activity": {
            "files": "activity.parquet",
            "columns": {
                "event_id": "hit", "user_id": "member", "event_time": {"column": "ts", "unit": "ms"},
                "kind": {"column": "what", "values": {short: name for name, short in MEANT.items()}},
                "text": "words", "url": "page", "category": "topic", "advertiser_id": "brand",
            },
        },
        "impressions": {
            "files": "impressions.parquet",
            "columns": {
                "impression_id": "imp", "request_id": "req", "user_id": "member", "ad_id": "creative",
                "event_time": {"column": "shown", "format": "%d.%m.%Y %H:%M:%S"}, "surface": "slot", "position": "rank",
                "bid": "offer", "price_paid": {"column": "micros", "scale": 0.000001}, "propensity": "p",
            },
        },
        "clicks": {
            "files": "clicks.parquet",
            "columns": {
                "click_id": "k", "impression_id": "imp", "event_time": "at",
                "dwell_seconds": {"column": "dwell_ms", "scale": 0.001},
            },
        },
        "conversions": {
            "files": "conversions.parquet",
            "columns": {
                "conversion_id": "c", "user_id": "member", "advertiser_id": "brand", "ad_id": "creative",
                "event_time": "at", "known_at": {"column": "known", "unit": "us"}, "kind": "sort",
                "value": {"column": "cents", "scale": 0.01}, "impression_id": "imp",
                "attribution": {"column": "how", "values": {number: name for name, number in NUMBERED.items()}},
            },
        },
    },
    time_zone=ZONE,
)  # fmt: skip

IDS = ("advertiser_id", "ad_id", "user_id", "event_id", "impression_id", "request_id", "click_id", "conversion_id")


def _write_hive(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Partitions of local days under dt=, times on the local clock, registers as changes; logs in CSV and Parquet."""
    for table in TABLES.values():
        names = [LOCAL.format(c.name) + f" AS {c.name}" if c.type == "TIMESTAMP" else c.name for c in table.columns]
        day = "_day" if table.kind == "register" else f"{LOCAL.format('event_time')}::DATE"
        select = f"SELECT {', '.join(names)}, {day} AS dt FROM {table.name}"
        kind = "CSV" if table.name == "clicks" else "PARQUET"
        copy(con, select, root / "raw" / table.name, partition="dt", kind=kind)


HIVE = Layout(
    _write_hive,
    {
        name: {"files": f"raw/{name}/dt={{date}}"}
        | ({"day_zone": "UTC", "filed_by": "partition"} if table.kind == "register" else {})
        for name, table in TABLES.items()
    },
    time_zone=ZONE,
)


def _write_stream(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    """All events in one CSV file, by type; a consent list; advertisers, ads and users only as they occur."""
    copy(
        con,
        """SELECT 'hit' AS type, user_id AS u, event_time AS t, kind AS k, advertiser_id AS a, NULL AS ad,
                  category AS topic, NULL AS paid, event_id AS id FROM activity
           UNION ALL SELECT 'buy', user_id, event_time, kind, c.advertiser_id, ad_id, topic, value, conversion_id
           FROM conversions c
           LEFT JOIN (SELECT ad_id, any_value(category) AS topic FROM ads GROUP BY ALL) ads USING (ad_id) ORDER BY t""",
        root / "events.csv",
        kind="CSV",
    )
    copy(con, "SELECT DISTINCT user_id AS who FROM users WHERE consent", root / "consented.csv", kind="CSV")


STREAM = Layout(
    _write_stream,
    {
        "advertisers": {"derive_from": ["conversions", "activity"], "columns": {"vertical": {"constant": "all"}}},
        "ads": {"derive_from": "conversions", "columns": {"category": "topic"}},
        "users": {"derive_from": ["activity", "conversions"]},
        "activity": {
            "files": "events.csv",
            "only": {"type": ["hit"]},
            "columns": {"event_id": "id", "user_id": "u", "event_time": "t", "kind": "k", "advertiser_id": "a"},
        },
        "conversions": {
            "files": "events.csv",
            "only": {"type": ["buy"]},
            "columns": {
                "conversion_id": {"hash": ["u", "t", "id"]}, "user_id": "u", "advertiser_id": "a", "ad_id": "ad",
                "event_time": "t", "kind": "k", "value": "paid", "attribution": {"constant": "none"},
            },
        },
        "consent_list": {"files": "consented.csv", "column": "who"},
    },
    time_zone="UTC",
    consent="list",
)  # fmt: skip
