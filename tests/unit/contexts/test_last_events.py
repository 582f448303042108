"""Histories equal those of a plain loop, and no ask sees what happened at its time or later."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.contexts.build import build_contexts
from ml.contexts.last_events import EVENTS_VIEW, _in_order, _runs, last_events
from ml.contexts.settings import ContextSettings
from ml.timeline import end_of
from tests.lakes import random_lake

START = datetime(2024, 1, 1)
USERS, MOMENTS = st.sampled_from(["a", "b", "ü", "d"]), st.integers(0, 6)  # few moments: ties
EVENTS = st.lists(st.tuples(USERS, MOMENTS), max_size=40)
ASKS = st.lists(st.tuples(st.sampled_from(["a", "b", "ü", "e"]), st.integers(-1, 8)), max_size=15)


def frames(events: list[tuple[str, int]], asks: list[tuple[str, int]], order: np.random.Generator | None):
    """Tables of events, in random order or sorted as in a file, and of asks; ids are drawn against time."""
    ids = [f"e{i * 7 % 41:02d}" for i in range(len(events))]
    rows = [(user, START + timedelta(hours=at), key) for (user, at), key in zip(events, ids, strict=True)]
    rows = [rows[i] for i in order.permutation(len(rows))] if order else sorted(rows)
    table = pd.DataFrame(rows, columns=["user_id", "time", "id"]).astype({"time": "datetime64[us]"})
    asked = pd.DataFrame(
        [(f"q{i}", user, START + timedelta(hours=at)) for i, (user, at) in enumerate(asks)],
        columns=["ask", "user_id", "time"],
    ).astype({"time": "datetime64[us]"})
    return table.assign(name=table["id"].str.upper()), asked


def connect(events: pd.DataFrame, asks: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.register("events", pa.Table.from_pandas(events, preserve_index=False).cast(SCHEMA))
    con.register("asks", pa.Table.from_pandas(asks, preserve_index=False).cast(ASKED))
    return con


TIME = pa.timestamp("us")
SCHEMA = pa.schema([("user_id", pa.string()), ("time", TIME), ("id", pa.string()), ("name", pa.string())])
ASKED = pa.schema([("ask", pa.string()), ("user_id", pa.string()), ("time", TIME)])


@given(EVENTS, ASKS, st.integers(1, 5), st.integers(1, 5), st.one_of(st.none(), st.integers(0, 9)))
@settings(max_examples=80, deadline=None)
def test_histories_are_those_of_a_plain_loop(events, asks, n, buckets, seed):
    table, asked = frames(events, asks, None if seed is None else np.random.default_rng(seed))
    with connect(table, asked) as con:
        found = {
            row["ask"]: (row["id"], row["name"])
            for part in last_events(con, n, ["id", "name"], buckets=buckets)
            for row in part.to_pylist()
        }
    assert set(found) == set(asked["ask"])
    rows = table.itertuples(index=False)
    known = sorted((row.user_id, row.time, row.id) for row in rows)
    for ask in asked.itertuples(index=False):
        expected = [key for user, time, key in known if user == ask.user_id and time < ask.time][-n:]
        assert found[ask.ask] == (expected, [key.upper() for key in expected])


def test_what_happens_at_the_time_of_an_ask_is_not_seen():
    table, asked = frames([("a", 1), ("a", 2), ("a", 2), ("a", 3)], [("a", 2), ("a", 3), ("e", 2)], None)
    with connect(table, asked) as con:
        found = {row["ask"]: len(row["id"]) for part in last_events(con, 9, ["id"]) for row in part.to_pylist()}
    assert found == {"q0": 1, "q1": 3, "q2": 0}


@given(EVENTS, st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_order_is_seen(events, seed):
    shuffled, _ = frames(events, [], np.random.default_rng(seed))
    ordered = shuffled.sort_values(["user_id", "time", "id"], ignore_index=True)
    assert _in_order(_runs(pa.Table.from_pandas(ordered, SCHEMA, preserve_index=False)))
    if _in_order(_runs(pa.Table.from_pandas(shuffled, SCHEMA, preserve_index=False))):
        for _, mine in shuffled.groupby("user_id"):
            assert mine.index.tolist() == list(range(mine.index[0], mine.index[0] + len(mine)))
            pd.testing.assert_frame_equal(mine, mine.sort_values(["time", "id"], kind="stable"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return random_lake(tmp_path_factory.mktemp("lake"), np.random.default_rng(3))


def test_of_users_at_the_end_of_a_day_they_are_the_tails_of_their_streams(lake):
    day: date = lake.days("activity")[-2]
    contexts = build_contexts(lake, day, ContextSettings(), only_active=False)
    with lake.connect(as_of=day) as con:
        con.execute(EVENTS_VIEW)
        con.execute(f"CREATE TEMP VIEW asks AS SELECT user_id, TIMESTAMP '{end_of(day)}' AS time FROM users")
        parts = [part.to_pandas() for part in last_events(con, 3, ["kind", "advertiser_id"], buckets=3)]
    found = pd.concat(parts).set_index("user_id")
    assert len(contexts) >= 5
    for user, start, end in zip(contexts.user_ids, contexts.offsets[:-1], contexts.offsets[1:], strict=True):
        tail = contexts.events.iloc[max(start, end - 3) : end]
        assert list(found.loc[user, "kind"]) == tail["kind"].tolist()
        assert [x or None for x in found.loc[user, "advertiser_id"]] == [
            None if pd.isna(x) else x for x in tail["advertiser_id"]
        ]
    without = set(found.index) - set(contexts.user_ids)
    assert all(len(found.loc[user, "kind"]) == 0 for user in without)


def test_of_impressions_they_hold_what_was_known_before_each(lake):
    with lake.connect() as con:
        con.execute(EVENTS_VIEW)
        con.execute(
            "CREATE TEMP VIEW asks AS SELECT impression_id, user_id, event_time AS time FROM impressions "
            "SEMI JOIN (SELECT user_id FROM users WHERE consent) USING (user_id)"
        )
        found = [row for part in last_events(con, 4, ["kind", "id"], buckets=2) for row in part.to_pylist()]
        truth = con.execute(
            "SELECT impression_id, list(e.id ORDER BY e.time, e.id)[-4:] FROM asks a "
            "JOIN events e ON e.user_id = a.user_id AND e.time < a.time GROUP BY impression_id"
        ).fetchall()
    assert len(found) > 20
    assert {row["impression_id"]: row["id"] for row in found if row["id"]} == dict(truth)
