"""Users: how many there are and consent, and whom the logs know."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb


@dataclass(frozen=True)
class UserFacts:
    """Users of the register, as their newest good row says."""

    users: int
    consenting: int
    with_events: int
    """Consenting users with any event."""


def look_at_users(con: duckdb.DuckDBPyConnection) -> UserFacts:
    """Count them.

    Args:
        con: connection to a lake.
    """
    users, consenting = con.execute("SELECT count(*), count(*) FILTER (consent) FROM users").fetchall()[0]
    seen = con.execute(
        """SELECT count(*) FROM (SELECT user_id FROM activity UNION SELECT user_id FROM conversions
                                 UNION SELECT user_id FROM impressions)
           SEMI JOIN (SELECT user_id FROM users WHERE consent) USING (user_id)"""
    ).fetchall()[0][0]
    return UserFacts(users, consenting, seen)
