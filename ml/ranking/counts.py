"""Counts through time: what had happened, by the end of the day before, around a user, an ad or both.

All events become one table of facts, each under the day by whose end it was known. Per key (such as user and
advertiser) the facts are summed by day and accumulated; a row of day d looks up the last entry before d, and
before d - 7 or d - 28, by an ASOF join: the difference is the count of the last 7 or 28 days. Nothing known on
day d or later can reach it.

An event without a category or vertical of its own has that of its ad or advertiser, and counts there from the day
the ad or advertiser was filed. Counts of ads and advertisers are over all users.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pandas as pd

MEASURES = ("searches", "visits", "impressions", "clicks", "conversions", "attributed")
"""visits includes saves; attributed are conversions with an impression_id."""
ALL = 0
"""Window "since ever"."""

_FACTS = """
CREATE TEMP TABLE category_vertical AS
SELECT category, greatest(a.filed, v.filed) AS filed, vertical
FROM ad_filed a JOIN advertiser_filed v USING (advertiser_id)
QUALIFY row_number() OVER (PARTITION BY category ORDER BY greatest(a.filed, v.filed), ad_id) = 1;

CREATE TEMP TABLE facts AS
WITH events AS (
    SELECT user_id, advertiser_id, NULL AS ad_id, event_time::DATE AS known_day,
           e.category, known_day AS category_day,
           CASE WHEN advertiser_id IS NULL THEN c.vertical ELSE v.vertical END AS vertical,
           greatest(known_day, CASE WHEN advertiser_id IS NULL THEN c.filed ELSE v.filed END) AS vertical_day,
           (kind = 'search')::INTEGER AS searches, (kind <> 'search')::INTEGER AS visits,
           0 AS impressions, 0 AS clicks, 0 AS conversions, 0 AS attributed
    FROM activity e LEFT JOIN category_vertical c USING (category) LEFT JOIN advertiser_filed v USING (advertiser_id)
    UNION ALL
    SELECT user_id, f.advertiser_id, ad_id, greatest(event_time::DATE, f.filed),
           NULL, NULL, NULL, NULL, 0, 0, 1, 0, 0, 0
    FROM impressions JOIN ad_filed f USING (ad_id)
    UNION ALL
    SELECT i.user_id, f.advertiser_id, ad_id, greatest(i.event_time::DATE, c.event_time::DATE, f.filed),
           NULL, NULL, NULL, NULL, 0, 0, 0, 1, 0, 0
    FROM clicks c JOIN impressions i USING (impression_id) JOIN ad_filed f USING (ad_id)
    UNION ALL
    SELECT user_id, c.advertiser_id, ad_id, coalesce(known_at, event_time)::DATE AS known_day,
           f.category, greatest(known_day, f.filed), v.vertical, greatest(known_day, v.filed),
           0, 0, 0, 0, 1, (impression_id IS NOT NULL)::INTEGER
    FROM conversions c LEFT JOIN ad_filed f USING (ad_id)
         LEFT JOIN advertiser_filed v ON v.advertiser_id = c.advertiser_id
)
SELECT *, 1 AS everyone FROM events
"""


@dataclass(frozen=True)
class Key:
    """What is counted around one kind of thing.

    Attributes:
        name: prefix of the features.
        columns: columns that facts and rows have in common.
        counts: measure -> windows in days (ALL = since ever).
        day: the facts' column with the day from which they count here.
        last: also give the days since the last conversion.
    """

    name: str
    columns: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    day: str = "known_day"
    last: bool = False

    @property
    def features(self) -> list[str]:
        names = [feature(self.name, measure, days) for measure, windows in self.counts.items() for days in windows]
        return [*names, f"{self.name}_days_since_conversion"] if self.last else names


KEYS = (
    Key(
        "user",
        ("user_id",),
        {"searches": (7, 28, ALL), "visits": (7, 28, ALL), "conversions": (7, 28, ALL)}
        | {"clicks": (28,), "impressions": (7,)},
        last=True,
    ),
    Key(
        "user_advertiser",
        ("user_id", "advertiser_id"),
        {"conversions": (28, ALL), "visits": (7, ALL), "clicks": (28, ALL), "impressions": (7, ALL)},
        last=True,
    ),
    Key("user_ad", ("user_id", "ad_id"), {"conversions": (ALL,), "clicks": (ALL,), "impressions": (7, ALL)}),
    Key(
        "user_category",
        ("user_id", "category"),
        {"searches": (7, 28), "visits": (7, 28), "conversions": (ALL,)},
        day="category_day",
    ),
    Key(
        "user_vertical",
        ("user_id", "vertical"),
        {"searches": (7, 28), "visits": (7, 28), "conversions": (ALL,)},
        day="vertical_day",
    ),
    Key(
        "advertiser",
        ("advertiser_id",),
        {"conversions": (28, ALL), "impressions": (28,), "clicks": (28,), "attributed": (28,)},
    ),
    Key("ad", ("ad_id",), {"conversions": (28, ALL), "impressions": (28,), "clicks": (28,), "attributed": (28,)}),
    Key("everyone", ("everyone",), {"impressions": (28,), "clicks": (28,), "attributed": (28,)}),
)


def feature(key: str, measure: str, days: int) -> str:
    return f"{key}_{measure}_all" if days == ALL else f"{key}_{measure}_{days}d"


def create_facts(con: duckdb.DuckDBPyConnection) -> None:
    """Temp table `facts`; needs `ml.ranking.registers.create_versions` to have run on the connection."""
    con.execute(_FACTS)


def counts(con: duckdb.DuckDBPyConnection, key: Key) -> pd.DataFrame:
    """The key's features for every row of table `asked` (row, day and the key's columns), in order of `row`.

    Returns:
        Columns `key.features`, float; days since the last conversion are null if there is none.
    """
    _accumulate(con, key)
    windows = sorted({days for used in key.counts.values() for days in used} - {ALL})
    joins = [_join(key, "upto", "asked.day")]
    joins += [_join(key, f"before_{days}", f"asked.day - {days}") for days in windows]
    columns = [
        f"{_difference(measure, days)} AS {feature(key.name, measure, days)}"
        for measure, used in key.counts.items()
        for days in used
    ]
    if key.last:
        columns.append(f"(asked.day - upto.last_conversion)::DOUBLE AS {key.name}_days_since_conversion")
    found: pd.DataFrame = con.execute(
        f"SELECT {', '.join(columns)} FROM asked {' '.join(joins)} ORDER BY asked.row"
    ).df()
    con.execute(f"DROP TABLE so_far_{key.name}")
    return found


def _accumulate(con: duckdb.DuckDBPyConnection, key: Key) -> None:
    columns = ", ".join(key.columns)
    sums = ", ".join(f"sum(sum({m})) OVER so_far AS {m}" for m in key.counts)
    last = ", max(CASE WHEN sum(conversions) > 0 THEN day END) OVER so_far AS last_conversion" if key.last else ""
    some = " OR ".join(f"{m} > 0" for m in key.counts)
    present = " AND ".join(f"{c} IS NOT NULL" for c in key.columns)
    con.execute(
        f"""CREATE TEMP TABLE so_far_{key.name} AS SELECT {columns}, {key.day} AS day, {sums}{last}
            FROM facts WHERE ({some}) AND {present} GROUP BY {columns}, {key.day}
            WINDOW so_far AS (PARTITION BY {columns} ORDER BY {key.day})"""
    )


def _join(key: Key, alias: str, limit: str) -> str:
    same = " AND ".join(f"asked.{c} = {alias}.{c}" for c in key.columns)
    return f"ASOF LEFT JOIN so_far_{key.name} {alias} ON {same} AND {alias}.day < {limit}"


def _difference(measure: str, days: int) -> str:
    upto = f"coalesce(upto.{measure}, 0)"
    return f"({upto})::DOUBLE" if days == ALL else f"({upto} - coalesce(before_{days}.{measure}, 0))::DOUBLE"
