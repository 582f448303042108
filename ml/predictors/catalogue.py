"""The catalogue: advertisers eligible on a day, with the text that stands for each."""

from __future__ import annotations

from datetime import date

import duckdb
import pandas as pd


def build_catalogue(con: duckdb.DuckDBPyConnection, day: date, *, min_users: int = 0) -> pd.DataFrame:
    """Advertisers active on `day`, ascending by id.

    Args:
        con: a lake connection opened `as_of` no later than `day`.
        day: active_from <= day <= active_to (or active_to is null).
        min_users: keep advertisers that at least this many consenting users have converted with so far.

    Returns:
        Columns advertiser_id, name, vertical, conversions (known so far), users (distinct). RangeIndex.
    """
    return con.execute(
        """
        SELECT a.advertiser_id, a.name, a.vertical,
               count(u.user_id)::BIGINT AS conversions, count(DISTINCT u.user_id)::BIGINT AS users
        FROM advertisers a
        LEFT JOIN conversions c ON c.advertiser_id = a.advertiser_id
        LEFT JOIN users u ON u.user_id = c.user_id AND u.consent
        WHERE a.active_from <= $day AND (a.active_to IS NULL OR a.active_to >= $day)
        GROUP BY ALL HAVING count(DISTINCT u.user_id) >= $min_users ORDER BY a.advertiser_id
        """,
        {"day": day, "min_users": min_users},
    ).df()
