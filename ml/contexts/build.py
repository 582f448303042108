"""Builds user contexts: DuckDB SQL over what a lake knew at the end of a day.

Only consenting users, only the allow-listed fields of `ml.contexts.stream`; no URL is ever selected, and
free text is scrubbed before it leaves. It does not know how contexts are rendered or what they are for.

Names and categories come from the registers as of the snapshot day: a renamed advertiser is renamed in
the whole stream. Everything else of a stream is prefix-stable.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import duckdb
import numpy as np
import pyarrow as pa

from ml.contexts.schema import assemble
from ml.contexts.scrub import scrub
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import UserContexts
from ml.lake import Lake
from ml.timeline import end_of

# `greatest`: nothing is known before it happens, whatever a log says, or a conversion could stand in its own history.
STREAM_QUERY = """
    WITH consenting AS (SELECT user_id FROM users WHERE consent)
    SELECT user_id, event_time AS time, event_time, event_id AS id, kind,
           CASE WHEN kind = 'search' THEN text END AS text,
           CASE WHEN kind <> 'search' THEN category END AS category,
           CASE WHEN kind <> 'search' THEN advertiser_id END AS advertiser_id
    FROM activity SEMI JOIN consenting USING (user_id)
    UNION ALL
    SELECT c.user_id, greatest(coalesce(c.known_at, c.event_time), c.event_time), c.event_time, c.conversion_id,
           'conversion', NULL, ads.category, c.advertiser_id
    FROM conversions c SEMI JOIN consenting USING (user_id) LEFT JOIN ads ON ads.ad_id = c.ad_id
"""
STREAM = f"CREATE TEMP TABLE stream AS {STREAM_QUERY}"
MEMBERS = """
    CREATE TEMP TABLE members AS
    SELECT user_id, age_bucket, gender, region
    FROM users SEMI JOIN (SELECT user_id FROM stream WHERE event_time >= $since) USING (user_id)
"""
EVENTS = """
    SELECT s.user_id, s.time, s.event_time, s.kind, s.text, s.advertiser_id, a.name AS advertiser_name,
           CASE WHEN s.kind = 'conversion' THEN coalesce(s.category, a.vertical) ELSE s.category END AS category
    FROM stream s SEMI JOIN members USING (user_id) LEFT JOIN advertisers a ON a.advertiser_id = s.advertiser_id
    ORDER BY s.user_id, s.time, s.id, s.kind
"""


def build_contexts(lake: Lake, as_of: date, settings: ContextSettings, *, only_active: bool = True) -> UserContexts:
    """Streams of the consenting users of a lake at the end of `as_of`.

    Args:
        lake: validated logs.
        as_of: snapshot day; nothing known after its end is read.
        settings: who is active, how much text is kept.
        only_active: users with an event in the last `active_days` days; False takes every user with any event.
    """
    since = end_of(as_of) - timedelta(days=settings.active_days) if only_active else datetime.combine(date.min, time())
    with lake.connect(as_of=as_of) as con:
        con.execute(STREAM)
        con.execute(MEMBERS, {"since": since})
        users = _table(con, "SELECT * FROM members ORDER BY user_id")
        events = _table(con, EVENTS)
    runs = events["user_id"].combine_chunks().dictionary_encode().indices  # ids are numbered as they appear: sorted
    lengths = np.bincount(runs.to_numpy(), minlength=len(users))
    return assemble(as_of, users, _scrubbed(events, settings.max_text_words), lengths)


def _table(con: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return con.sql(query).to_arrow_table().combine_chunks()


def _scrubbed(events: pa.Table, max_words: int) -> pa.Table:
    """The events with `text` scrubbed, each distinct text once."""
    encoded = events["text"].combine_chunks().dictionary_encode()
    clean = [scrub(text, max_words) for text in encoded.dictionary.to_pylist()]
    text = pa.array(clean, pa.string()).take(encoded.indices)
    return events.set_column(events.schema.get_field_index("text"), "text", text)
