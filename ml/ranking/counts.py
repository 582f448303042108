"""Counts through time: what had happened, by the end of the day before, around a user, an ad or both.

All events become one table of facts, each under the day by whose end it was known. Per key (such as user and
advertiser) the facts are summed by day and accumulated; a row of day d looks up the last entry before d, and
before d - 7 or d - 28, by an ASOF join: the difference is the count of the last 7 or 28 days. Nothing known on
day d or later can reach it. A decayed count halves what is older by HALF_LIFE days,

    sum over facts known on day k < d of 2 ^ -((d - 1 - k) / HALF_LIFE),

from a running sum of 2 ^ ((k - first day) / HALF_LIFE): one pass serves every day.

An event without a category or vertical of its own has that of its ad or advertiser, and counts there from the day
the ad or advertiser was filed. Counts of ads and advertisers are over all users.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np

MEASURES = ("searches", "visits", "impressions", "clicks", "conversions", "attributed")
"""visits includes saves; attributed are conversions with an impression_id."""
ALL = 0
"""Window "since ever"."""
HALF_LIFE = 14.0
"""Days until an event counts half in a decayed count. Logs of up to HALF_LIFE * 1000 days fit into a double."""

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
        decayed: measures that are also counted with decay.
        day: the facts' column with the day from which they count here.
        last: also give the days since the last conversion.
    """

    name: str
    columns: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    decayed: tuple[str, ...] = ()
    day: str = "known_day"
    last: bool = False

    @property
    def features(self) -> list[str]:
        names = [feature(self.name, measure, days) for measure, windows in self.counts.items() for days in windows]
        names += [f"{self.name}_{measure}_decayed" for measure in self.decayed]
        return [*names, f"{self.name}_days_since_conversion"] if self.last else names


KEYS = (
    Key(
        "user",
        ("user_id",),
        {"searches": (7, 28, ALL), "visits": (7, 28, ALL), "conversions": (7, 28, ALL)}
        | {"clicks": (28,), "impressions": (7,)},
        decayed=("searches", "visits", "clicks", "conversions"),
        last=True,
    ),
    Key(
        "user_advertiser",
        ("user_id", "advertiser_id"),
        {"conversions": (28, ALL), "visits": (7, ALL), "clicks": (28, ALL), "impressions": (7, ALL)},
        decayed=("visits", "clicks", "conversions"),
        last=True,
    ),
    Key("user_ad", ("user_id", "ad_id"), {"conversions": (ALL,), "clicks": (ALL,), "impressions": (7, ALL)}),
    Key(
        "user_category",
        ("user_id", "category"),
        {"searches": (7, 28), "visits": (7, 28), "conversions": (ALL,)},
        decayed=("searches", "visits"),
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
        decayed=("clicks", "conversions"),
    ),
    Key(
        "ad",
        ("ad_id",),
        {"conversions": (28, ALL), "impressions": (28,), "clicks": (28,), "attributed": (28,)},
        decayed=("clicks", "conversions"),
    ),
    Key("everyone", ("everyone",), {"impressions": (28,), "clicks": (28,), "attributed": (28,)}),
)


def feature(key: str, measure: str, days: int) -> str:
    return f"{key}_{measure}_all" if days == ALL else f"{key}_{measure}_{days}d"


def create_facts(con: duckdb.DuckDBPyConnection) -> None:
    """Temp tables `facts` and, of every key, the counts so far; needs `ml.ranking.registers.create_versions`."""
    con.execute(_FACTS)
    con.execute("CREATE TEMP TABLE first_fact AS SELECT min(known_day) AS first_day FROM facts")
    for key in KEYS:
        _accumulate(con, key)


def counts(con: duckdb.DuckDBPyConnection, key: Key) -> dict[str, np.ndarray]:
    """The key's features for every row of table `asked` (row, day and the key's columns), in order of `row`.

    Returns:
        By name, as in `key.features`, float64; days since the last conversion are nan if there is none.
    """
    windows = sorted({days for used in key.counts.values() for days in used} - {ALL})
    joins = [_join(key, "upto", "asked.day")]
    joins += [_join(key, f"before_{days}", f"asked.day - {days}") for days in windows]
    columns = [
        f"{_difference(measure, days)} AS {feature(key.name, measure, days)}"
        for measure, used in key.counts.items()
        for days in used
    ]
    faded = f"pow(2, -(asked.day - 1 - first_fact.first_day) / {HALF_LIFE})"
    columns += [f"coalesce(upto.{m}_decayed * {faded}, 0)::DOUBLE AS {key.name}_{m}_decayed" for m in key.decayed]
    if key.last:
        columns.append(f"(asked.day - upto.last_conversion)::DOUBLE AS {key.name}_days_since_conversion")
    query = f"SELECT {', '.join(columns)} FROM asked {' '.join(joins)} CROSS JOIN first_fact ORDER BY asked.row"
    return columns_of(con, query)


def columns_of(con: duckdb.DuckDBPyConnection, query: str) -> dict[str, np.ndarray]:
    """A query's numeric columns, null as nan."""
    table = con.sql(query).to_arrow_table()
    return {name: table[name].to_numpy() for name in table.column_names}


def _accumulate(con: duckdb.DuckDBPyConnection, key: Key) -> None:
    columns = ", ".join(key.columns)
    sums = [f"sum(sum({m})) OVER so_far AS {m}" for m in key.counts]
    grown = f"pow(2, ({key.day} - any_value(first_fact.first_day)) / {HALF_LIFE})"
    sums += [f"sum(sum({m}) * {grown}) OVER so_far AS {m}_decayed" for m in key.decayed]
    if key.last:
        sums.append("max(CASE WHEN sum(conversions) > 0 THEN day END) OVER so_far AS last_conversion")
    some = " OR ".join(f"{m} > 0" for m in key.counts)
    present = " AND ".join(f"{c} IS NOT NULL" for c in key.columns)
    con.execute(
        f"""CREATE TEMP TABLE so_far_{key.name} AS SELECT {columns}, {key.day} AS day, {", ".join(sums)}
            FROM facts CROSS JOIN first_fact WHERE ({some}) AND {present} GROUP BY {columns}, {key.day}
            WINDOW so_far AS (PARTITION BY {columns} ORDER BY {key.day})"""
    )


def _join(key: Key, alias: str, limit: str) -> str:
    same = " AND ".join(f"asked.{c} = {alias}.{c}" for c in key.columns)
    return f"ASOF LEFT JOIN so_far_{key.name} {alias} ON {same} AND {alias}.day < {limit}"


def _difference(measure: str, days: int) -> str:
    upto = f"coalesce(upto.{measure}, 0)"
    return f"({upto})::DOUBLE" if days == ALL else f"({upto} - coalesce(before_{days}.{measure}, 0))::DOUBLE"
