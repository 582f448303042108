"""The last n events of many users at many moments: before each (user, time) asked for, strictly.

    con = lake.connect(as_of=day)
    con.execute(EVENTS_VIEW)                                       # or any view `events`
    con.execute("CREATE VIEW asks AS SELECT impression_id, user_id, event_time AS time FROM impressions")
    for part in last_events(con, 20, ["kind", "advertiser_id"]):   # one Arrow table a bucket of users
        ...

Users go through bucket by bucket, so memory is bounded by a bucket. Within it events are brought into the order
(user, time, id): DuckDB sorts them unless they already lie so, as in a file sorted by (user, time), which is checked.
Every history is then a run of rows, found by a binary search: no window over all rows and no list for rows nobody
asked about (2 to 5 times the work, see benchmarks/histories.py). It does not know what the events mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.contexts.build import STREAM_QUERY

EVENTS_VIEW = f"CREATE OR REPLACE TEMP VIEW events AS {STREAM_QUERY}"
"""The consenting users' stream of a lake (see `ml.contexts.build`): user_id, time (when it was known), id, kind and
what it was about. Its `text` is as typed, not scrubbed: only `ml.contexts.build` may show it to a predictor."""
BUCKETS = 16
BUCKET = "hash(user_id) % {buckets}"


def last_events(
    con: duckdb.DuckDBPyConnection,
    n: int,
    columns: Sequence[str],
    *,
    buckets: int = BUCKETS,
    bucket: str = BUCKET,
) -> Iterator[pa.Table]:
    """The last `n` events before each ask, oldest first.

    Args:
        con: with views `events` (user_id, time, id and `columns`) and `asks` (user_id, time and whatever tells them
            apart). What happens at the very time of an ask is not seen by it; events of one time go by id.
        n: most events of a history.
        columns: what to give of each event.
        buckets: parts of the users; more of them take less memory and, unless files are cut by them, more reading.
        bucket: SQL of a row's bucket, 0 to buckets - 1, on `events` and `asks`.

    Yields:
        The asks of one bucket with all their columns and one list column for each of `columns`.
    """
    of_row = bucket.format(buckets=buckets)
    wanted = ", ".join(dict.fromkeys(["user_id", "time", "id", *columns]))
    for number in range(buckets):
        asks = con.sql(f"SELECT * FROM asks WHERE {of_row} = {number}").to_arrow_table().combine_chunks()
        if len(asks):
            events = con.sql(f"SELECT {wanted} FROM events WHERE {of_row} = {number}").to_arrow_table()
            yield _with_histories(asks, _ordered(con, events), n, columns)


class _Runs(NamedTuple):
    """Events, users back to back, each user's by (time, id)."""

    events: pa.Table
    users: pa.Array
    """Each user once, in order of appearance."""
    code: np.ndarray
    """Of each event: which of `users` it is of."""


def _with_histories(asks: pa.Table, runs: _Runs, n: int, columns: Sequence[str]) -> pa.Table:
    events, users, code = runs
    ends = np.searchsorted(code, np.arange(len(users) + 1))
    mine = pc.fill_null(pc.index_in(asks["user_id"], value_set=users), len(users)).to_numpy()
    starts, stops = ends[np.minimum(mine, len(users))], ends[np.minimum(mine + 1, len(users))]
    until = _first_not_before(events["time"].to_numpy(), starts, stops, asks["time"].to_numpy())
    first = np.maximum(starts, until - n)
    offsets = np.concatenate([[0], np.cumsum(until - first)])
    rows = np.repeat(first - offsets[:-1], until - first) + np.arange(offsets[-1])
    for name in columns:
        values = events[name].combine_chunks().take(pa.array(rows))
        asks = asks.append_column(name, pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values))
    return asks


def _first_not_before(times: np.ndarray, starts: np.ndarray, stops: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """First row of each run `times[start:stop]` (ascending) that is not before its moment, by bisection of all at once.

    Args:
        times: shape (n_events,).
        starts, stops, moments: shape (n,).
    """
    low, high = starts.copy(), stops.copy()
    while len(open_ := np.flatnonzero(low < high)):
        middle = (low[open_] + high[open_]) // 2
        before = times[middle] < moments[open_]
        low[open_[before]] = middle[before] + 1
        high[open_[~before]] = middle[~before]
    return low


def _ordered(con: duckdb.DuckDBPyConnection, events: pa.Table) -> _Runs:
    """The events in order: sorted unless they lie so already."""
    runs = _runs(events)
    if _in_order(runs):
        return runs
    con.register("events_of_bucket", events)
    try:
        return _runs(con.sql("SELECT * FROM events_of_bucket ORDER BY user_id, time, id").to_arrow_table())
    finally:
        con.unregister("events_of_bucket")


def _in_order(runs: _Runs) -> bool:
    events, _, code = runs
    times, step = events["time"].to_numpy(), np.diff(code)
    same = step == 0
    if (step < 0).any() or (same & (times[1:] < times[:-1])).any():  # below 0: a user comes back after another
        return False
    ties = np.flatnonzero(same & (times[1:] == times[:-1]))
    earlier, later = (events["id"].take(pa.array(ties + after)) for after in (0, 1))
    return bool(pc.all(pc.less_equal(earlier, later), min_count=0).as_py())


def _runs(events: pa.Table) -> _Runs:
    encoded = events["user_id"].combine_chunks().dictionary_encode()
    return _Runs(events, encoded.dictionary, encoded.indices.to_numpy())
