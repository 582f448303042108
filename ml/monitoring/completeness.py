"""Faults of the data rather than drift of the people: columns that go missing, rows that end in quarantine.

Both are looked for on the snapshot day alone if it has rows enough, else on as few days before it as it takes.
Columns whose null means something (an off-site conversion has no ad) are not watched. It does not judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import pandas as pd

COLUMNS: dict[str, tuple[str, str]] = {
    "activity.text": ("activity", "kind = 'search'"),
    "activity.category": ("activity", "kind <> 'search'"),
    "activity.advertiser_id": ("activity", "kind <> 'search'"),
    "impressions.bid": ("impressions", "true"),
    "impressions.price_paid": ("impressions", "true"),
    "clicks.dwell_seconds": ("clicks", "true"),
    "conversions.value": ("conversions", "true"),
    "conversions.known_at": ("conversions", "true"),
}
"""Watched columns of the logs: table, and the rows that should have a value."""
PROFILE = ("age_bucket", "gender", "region")
"""Watched columns of the users register, among active users."""


@dataclass(frozen=True)
class Share:
    """Some rows, and how many of them are concerned."""

    concerned: int
    rows: int

    @property
    def value(self) -> float:
        return self.concerned / self.rows if self.rows else 0.0


def missing_by_day(con: duckdb.DuckDBPyConnection, first: date, last: date) -> dict[str, pd.DataFrame]:
    """Columns day, rows, concerned (without a value), oldest first, of every watched column of the logs."""
    found = {}
    for name, (table, where) in COLUMNS.items():
        column = name.split(".")[1]
        query = f"""
            SELECT event_time::DATE AS day, count(*) AS rows, count(*) FILTER ({column} IS NULL) AS concerned
            FROM {table} WHERE event_time >= $first AND event_time < $last::DATE + 1 AND {where}
            GROUP BY ALL ORDER BY day
        """
        found[name] = con.execute(query, {"first": first, "last": last}).df()
    return found


def missing_profiles(con: duckdb.DuckDBPyConnection, spans: int) -> dict[str, Share]:
    """Active users (and windows) without a value, for every watched profile field; needs `recent`."""
    counts = ", ".join(f"count(*) FILTER ({name} IS NULL)" for name in PROFILE)
    query = f"""
        SELECT count(*), {counts}
        FROM (SELECT DISTINCT span, user_id FROM recent WHERE span < {spans}) JOIN users USING (user_id)
    """
    rows, *missing = con.execute(query).fetchall()[0]
    return {f"users.{name}": Share(n, rows) for name, n in zip(PROFILE, missing, strict=True)}


def newest(by_day: pd.DataFrame, last: date, min_rows: int, most_days: int) -> Share:
    """Counts of the fewest days up to `last` that hold `min_rows` rows, at most `most_days`.

    Args:
        by_day: columns day (anything `pd.to_datetime` reads), rows, concerned.
    """
    days = pd.to_datetime(by_day["day"]).dt.date
    concerned = rows = 0
    for back in range(most_days):
        today = by_day[days == last - timedelta(days=back)]
        rows, concerned = rows + int(today["rows"].sum()), concerned + int(today["concerned"].sum())
        if rows >= min_rows:
            break
    return Share(concerned, rows)


def quarantined(volumes: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Columns day, rows (delivered), concerned (set aside) of every table.

    Args:
        volumes: columns day, rows (kept) and quarantined, by table.
    """
    return {
        f"{table}": pd.DataFrame({"day": v["day"], "rows": v["rows"] + v["quarantined"], "concerned": v["quarantined"]})
        for table, v in volumes.items()
    }
