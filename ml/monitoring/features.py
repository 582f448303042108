"""What is watched for drift, counted in DuckDB: users and events of whole windows, by value.

Only consenting users count. An event belongs to the day it became known, like in the streams the models read, so
that reporting delay does not thin out the newest days. No text and no URL is read. It does not judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import duckdb
import pandas as pd

RECENT = """
    CREATE TEMP TABLE recent AS
    WITH consenting AS (SELECT user_id FROM users WHERE consent),
    events AS (
        SELECT user_id, event_time AS time, kind, category, advertiser_id, NULL::DOUBLE AS value, NULL::DOUBLE AS delay
        FROM activity SEMI JOIN consenting USING (user_id)
        UNION ALL
        SELECT user_id, greatest(coalesce(known_at, event_time), event_time), 'conversion', NULL, advertiser_id,
               value, (epoch(known_at) - epoch(event_time)) / 3600
        FROM conversions SEMI JOIN consenting USING (user_id)
    )
    SELECT date_diff('day', time::DATE, $last::DATE) // $window_days AS span, events.*, a.vertical
    FROM events LEFT JOIN advertisers a USING (advertiser_id)
    WHERE time >= $first AND time < $last::DATE + 1
"""


@dataclass(frozen=True)
class Feature:
    """One distribution that is watched.

    Attributes:
        title: what a person calls it.
        query: SQL over `recent` and the lake's views: columns span, value, n.
        of_catalogue: its values are advertisers; those that came or left meanwhile are no drift of it.
    """

    name: str
    title: str
    kind: Literal["categorical", "numeric"]
    unit: Literal["users", "events"]
    query: str
    of_catalogue: bool = False


def _events(value: str, where: str) -> str:
    return f"SELECT span, {value} AS value, count(*) AS n FROM recent WHERE {where} GROUP BY ALL"


def _users(field: str) -> str:
    return (
        f"SELECT span, {field} AS value, count(DISTINCT user_id) AS n FROM recent JOIN users USING (user_id) "
        "GROUP BY ALL"
    )


PER_USER = """
    SELECT span, value, count(*) AS n FROM (SELECT span, count(*) AS value FROM recent GROUP BY span, user_id)
    GROUP BY ALL
"""
VISITS, CONVERSIONS = "kind IN ('visit', 'save')", "kind = 'conversion'"

FEATURES: dict[str, Feature] = {
    feature.name: feature
    for feature in (
        Feature("age_bucket", "age of active users", "categorical", "users", _users("age_bucket")),
        Feature("gender", "gender of active users", "categorical", "users", _users("gender")),
        Feature("region", "region of active users", "categorical", "users", _users("region")),
        Feature("events_per_user", "events per active user", "numeric", "users", PER_USER),
        Feature("event_kind", "mix of event kinds", "categorical", "events", _events("kind", "true")),
        Feature(
            "activity_category",
            "category of searches and visits",
            "categorical",
            "events",
            _events("category", f"NOT ({CONVERSIONS})"),
        ),
        Feature(
            "visit_advertiser",
            "advertiser of visits",
            "categorical",
            "events",
            _events("advertiser_id", VISITS),
            of_catalogue=True,
        ),
        Feature(
            "conversion_vertical", "vertical of conversions", "categorical", "events", _events("vertical", CONVERSIONS)
        ),
        Feature(
            "conversion_advertiser",
            "advertiser of conversions",
            "categorical",
            "events",
            _events("advertiser_id", CONVERSIONS),
            of_catalogue=True,
        ),
        Feature("conversion_value", "value of conversions", "numeric", "events", _events("value", CONVERSIONS)),
        Feature(
            "conversion_delay",
            "hours until a conversion is known",
            "numeric",
            "events",
            _events("round(delay, 2)", CONVERSIONS),
        ),
    )
}


def prepare(con: duckdb.DuckDBPyConnection, last: date, window_days: int, windows: int) -> None:
    """Create `recent`: events that became known in the windows up to `last`; window (span) 0 is the newest.

    Args:
        con: views of a lake as of `last`.
    """
    first = last - timedelta(days=window_days * windows - 1)
    con.execute(RECENT, {"first": first, "last": last, "window_days": window_days})


def count(con: duckdb.DuckDBPyConnection, feature: Feature) -> pd.DataFrame:
    """Columns span, value, n of a feature's known values; missing ones are judged as such (`completeness`)."""
    found: pd.DataFrame = con.execute(f"FROM ({feature.query}) WHERE value IS NOT NULL ORDER BY ALL").df()
    return found


def advertisers_between(con: duckdb.DuckDBPyConnection, before: date, last: date) -> set[str]:
    """Advertisers that came after the end of `before`, or are gone by `last`."""
    query = "SELECT advertiser_id FROM advertisers WHERE active_from > $before OR active_to < $last"
    return {key for (key,) in con.execute(query, {"before": before, "last": last}).fetchall()}
