"""Registers through time: every version of an ad, advertiser or user, with the day it became known.

The lake's views show the newest version only, which would tell a row of last month what an ad costs today.
"""

from __future__ import annotations

import duckdb

from ml.lake import Lake
from ml.sources.contract import TABLES

FIRST_FILED = """
CREATE OR REPLACE TEMP TABLE ad_filed AS
SELECT ad_id, min(known_day) AS filed, arg_min(advertiser_id, known_day) AS advertiser_id,
       arg_min(category, known_day) AS category
FROM ads_versions GROUP BY ad_id;
CREATE OR REPLACE TEMP TABLE advertiser_filed AS
SELECT advertiser_id, min(known_day) AS filed, arg_min(vertical, known_day) AS vertical
FROM advertisers_versions GROUP BY advertiser_id;
"""
"""What never changes of an ad (its advertiser, its category) and of an advertiser (its vertical), as first filed."""


def create_versions(con: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """Temp tables `<register>_versions` (the register's columns and `known_day`), `ad_filed`, `advertiser_filed`.

    A version is known by the end of `known_day`: seen by a row of day d if known_day < d. Versions that were
    already outdated when they arrived are left out, so the latest known_day is always the newest version.

    Args:
        con: a connection of this lake without as_of.
    """
    for table in ("ads", "advertisers", "users"):
        con.execute(f"CREATE OR REPLACE TEMP TABLE {table}_versions AS {_versions(lake, table)}")
    con.execute(FIRST_FILED)


def _versions(lake: Lake, table: str) -> str:
    if not (days := lake.days(table)):
        return f"SELECT *, NULL::DATE AS known_day FROM {table} WHERE false"
    contract = TABLES[table]
    changed = "updated_at" if "updated_at" in contract.column_names else "date::TIMESTAMP"
    return f"""
        WITH filed AS (
            SELECT *, {changed} AS changed, greatest(date, ({changed})::DATE) AS known_day
            FROM {lake.scan(table, days)}
        ), per_day AS (
            SELECT * FROM filed
            QUALIFY row_number() OVER (PARTITION BY {contract.key}, known_day ORDER BY changed DESC, date DESC) = 1
        )
        SELECT {", ".join(contract.column_names)}, known_day FROM per_day
        QUALIFY changed >= max(changed) OVER (PARTITION BY {contract.key} ORDER BY known_day)"""
