"""Hand-written raw logs in the contract's layout: three days, every table, every row good."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.sources.contract import TABLES
from ml.timeline import Window

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=i) for i in range(3)]
WINDOW = Window(DAYS[0], DAYS[-1])

Row = dict[str, Any]
Logs = dict[str, dict[date, list[Row]]]
"""Rows by table and filing day; every value is text or None, as a careless exporter writes it."""


def small_logs() -> Logs:
    """Users u0..u2, advertisers a0 and a1, ads x0 (of a0) and x1 (of a1), on each day one event of each kind a user."""
    logs: Logs = {name: {day: [] for day in DAYS} for name in TABLES}
    logs["advertisers"][FIRST] = [
        {"advertiser_id": f"a{i}", "name": f"Brand {i}", "vertical": "shoes", "active_from": "2026-01-01"}
        for i in range(2)
    ]
    logs["ads"][FIRST] = [
        {"ad_id": f"x{i}", "advertiser_id": f"a{i}", "category": "trail", "price": "12.5"} for i in range(2)
    ]
    logs["users"][FIRST] = [
        {"user_id": f"u{i}", "region": "north", "consent": "true", "updated_at": f"{FIRST} 00:00:00"} for i in range(3)
    ]
    for day in DAYS:
        for i in range(3):
            _add_user_day(logs, day, f"u{i}", f"{day:%d}{i}")
    return logs


def _add_user_day(logs: Logs, day: date, user: str, n: str) -> None:
    who = {"user_id": user}
    logs["activity"][day].append(
        {"event_id": f"e{n}", **who, "event_time": f"{day} 08:00:00", "kind": "search", "text": "shoes"}
    )
    logs["impressions"][day].append(
        {"impression_id": f"i{n}", "request_id": f"r{n}", **who, "ad_id": "x0", "event_time": f"{day} 09:00:00"}
        | {"surface": "feed", "position": "0", "propensity": "0.5", "bid": "1.25"}
    )
    logs["clicks"][day].append(
        {"click_id": f"c{n}", "impression_id": f"i{n}", "event_time": f"{day} 09:01:00", "dwell_seconds": "3"}
    )
    logs["conversions"][day].append(
        {"conversion_id": f"v{n}", **who, "advertiser_id": "a0", "ad_id": "x0", "event_time": f"{day} 10:00:00"}
        | {"known_at": f"{day} 11:00:00", "kind": "purchase", "value": "20", "impression_id": f"i{n}"}
        | {"attribution": "click"}
    )


def write_logs(logs: Logs, root: Path) -> Path:
    """Write them as <root>/<table>/date=.../part-0.parquet, all columns text, days without rows as empty files."""
    for name, by_day in logs.items():
        for day, rows in by_day.items():
            path = root / name / f"date={day}" / "part-0.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            columns = {column: [row.get(column) for row in rows] for column in TABLES[name].column_names}
            pq.write_table(pa.table({c: pa.array(v, pa.string()) for c, v in columns.items()}), path)
    return root


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replace a Parquet file by what `change` makes of it."""
    pq.write_table(change(pq.ParquetFile(path).read()), path)
