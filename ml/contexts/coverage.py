"""How many users should have a context: counted without building any, so that a builder's fault shows."""

from __future__ import annotations

from datetime import date, timedelta

from ml.contexts.settings import ContextSettings
from ml.lake import Lake
from ml.timeline import end_of


def active_consenting_users(lake: Lake, as_of: date, settings: ContextSettings) -> int:
    """Consenting users with an activity or conversion in the last `active_days` days up to `as_of`."""
    query = """
        SELECT count(DISTINCT user_id) FROM (
            SELECT user_id, event_time FROM activity UNION ALL SELECT user_id, event_time FROM conversions
        ) SEMI JOIN (SELECT user_id FROM users WHERE consent) USING (user_id)
        WHERE event_time >= $since
    """
    with lake.connect(as_of=as_of) as con:
        since = end_of(as_of) - timedelta(days=min(settings.active_days, (end_of(as_of).date() - date.min).days))
        found = con.execute(query, {"since": since}).fetchall()
    return int(found[0][0])
