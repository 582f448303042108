"""P7: the last 20 events of every user, out of 10 million events of 500,000 users, beside pandas, polars and plain SQL.

    python -m benchmarks.histories            # about 3 minutes
    python -m benchmarks.histories --quick    # does it run?

Events are synthetic and seeded: log-normal activity, Parquet files by user bucket, sorted by user and time, as a lake
keeps them. Every peer reads the files, cuts at a moment and gives (user_id, the newest 20 advertisers, oldest
first); the answers are compared before anything is timed. Peak memory is that of a process of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Row, interleaved, peak_rss_mb, ratio, write_results
from ml.contexts.last_events import last_events

N, BUCKETS, DAYS = 20, 16, 90
START, CUT = np.datetime64("2026-01-01", "us"), "2026-03-25"
FULL, QUICK = (10_000_000, 500_000), (400_000, 20_000)


def make_events(directory: Path, events: int, users: int) -> Path:
    """Events of this size under `directory`, made unless they are there: bucket=<b>/part-0.parquet."""
    root = directory / f"events-{events}-{users}"
    if (root / "_SUCCESS").exists():
        return root
    rng = np.random.default_rng(0)
    active = rng.lognormal(0, 1, users)
    user = rng.choice(users, events, p=active / active.sum())
    second = rng.integers(0, 86_400 * DAYS, events)
    order = np.lexsort((second, user))
    user, second = user[order], second[order]
    advertiser = rng.integers(0, 3000, events).astype(np.int32)
    for bucket in range(BUCKETS):
        rows = np.flatnonzero(user % BUCKETS == bucket)
        table = pa.table(
            {
                "user_id": pa.array(user_ids(user[rows])),
                "event_time": pa.array(START + second[rows].astype("timedelta64[s]")),
                "event_id": pa.array(rows),
                "advertiser_id": pa.array(advertiser[rows]),
            }
        )
        (root / f"bucket={bucket}").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, root / f"bucket={bucket}" / "part-0.parquet", compression="zstd")
    (root / "_SUCCESS").touch()
    return root


def user_ids(numbers: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.char.add("u", np.char.zfill(numbers.astype(str), 7))
    return found


def ours(root: Path, users: int) -> pa.Table:
    with _connect(root) as con:
        con.execute(
            f"CREATE VIEW asks AS SELECT 'u' || lpad(i::VARCHAR, 7, '0') AS user_id, TIMESTAMP '{CUT}' AS time, "
            f"i % {BUCKETS} AS bucket FROM range({users}) t(i)"
        )
        parts = list(last_events(con, N, ["advertiser_id"], buckets=BUCKETS, bucket="bucket"))
    return pa.concat_tables(parts).select(["user_id", "advertiser_id"])


def pandas(root: Path, users: int) -> pa.Table:
    import pandas as pd

    events = pd.read_parquet(root, columns=["user_id", "event_time", "event_id", "advertiser_id"])
    events = events[events["event_time"] < pd.Timestamp(CUT)].sort_values(["user_id", "event_time", "event_id"])
    found = events.groupby("user_id").tail(N).groupby("user_id")["advertiser_id"].agg(list).reset_index()
    return pa.Table.from_pandas(found, preserve_index=False)


def polars(root: Path, users: int) -> pa.Table:
    import polars as pl

    events = pl.scan_parquet(root / "*" / "part-0.parquet").filter(pl.col("event_time") < pl.lit(CUT).str.to_datetime())
    ordered = events.sort("user_id", "event_time", "event_id")
    found: pa.Table = ordered.group_by("user_id").agg(pl.col("advertiser_id").tail(N)).collect().to_arrow()
    return found


def row_number(root: Path, users: int) -> pa.Table:
    with _connect(root) as con:
        return con.sql(
            f"""SELECT user_id, list(advertiser_id ORDER BY time, id) AS advertiser_id FROM (
                    SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY time DESC, id DESC) AS newest
                    FROM events WHERE time < TIMESTAMP '{CUT}'
                ) WHERE newest <= {N} GROUP BY user_id"""
        ).to_arrow_table()


PEERS: dict[str, Callable[[Path, int], pa.Table]] = {
    "ours": ours,
    "pandas": pandas,
    "polars": polars,
    "row_number": row_number,
}
SHOWN = {
    "pandas": "pandas: sort_values, groupby().tail(20), agg(list)",
    "polars": "polars: sort, group_by, tail(20)",
    "row_number": "DuckDB: row_number() <= 20",
}


def _connect(root: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(root.parent / "spill")})
    con.execute(
        f"CREATE VIEW events AS SELECT user_id, event_time AS time, event_id AS id, advertiser_id, bucket "
        f"FROM read_parquet('{root}/bucket=*/part-0.parquet', hive_partitioning=true)"
    )
    return con


def check(root: Path, users: int) -> int:
    """Events in all histories; every peer must give the very same ones."""
    truth: dict[str, list[int]] | None = None
    for name, peer in PEERS.items():
        table = peer(root, users)
        pairs = zip(table["user_id"].to_pylist(), table["advertiser_id"].to_pylist(), strict=True)
        found = {user: list(history) for user, history in pairs if history}
        if truth is not None and found != truth:
            raise SystemExit(f"{name} gives other histories than ours")
        truth = found
    return sum(len(history) for history in (truth or {}).values())


def measure(root: Path, users: int, rounds: int) -> list[Row]:
    seconds = interleaved({name: lambda peer=peer: peer(root, users) for name, peer in PEERS.items()}, rounds)
    size = root.name.removeprefix("events-").replace("-", " events, ")
    value, low, high = ratio(seconds["pandas"], seconds["ours"])
    rows: list[Row] = [
        {"id": "P7", "what": f"last {N} events of every user; {size} users", "value": value, "unit": "x", "low": low}
        | {"high": high, "target": ">= 12x", "against": SHOWN["pandas"]}
    ]
    for name in ("polars", "row_number"):
        value, low, high = ratio(seconds[name], seconds["ours"])
        rows.append({"id": f"P7.{name}", "what": "the same", "value": value, "unit": "x", "low": low, "high": high})
        rows[-1]["against"] = SHOWN[name]
    for name, values in seconds.items():
        about = {"low": min(values), "high": max(values)}
        rows.append({"id": f"P7.seconds.{name}", "what": name, "value": median(values), "unit": "s"} | about)
    for name in PEERS:
        peak = peak_rss_mb(["-m", "benchmarks.histories", "--peer", name, "--events", str(root), "--users", str(users)])
        row = {"id": f"P7.memory.{name}", "what": f"peak RSS, {name}", "value": peak, "unit": "MB"}
        rows.append(row | ({"target": "<= 1200 MB"} if name == "ours" else {}))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("var/histories"), help="where the events are kept")
    parser.add_argument("--quick", action="store_true", help="few events, one round: does it run?")
    parser.add_argument("--to", type=Path, help="where results are written; default docs/results, with --quick nowhere")
    parser.add_argument("--peer", choices=list(PEERS), help="run one peer on --events, for its memory")
    parser.add_argument("--events", type=Path)
    parser.add_argument("--users", type=int)
    given = parser.parse_args()
    if given.peer:
        print(len(PEERS[given.peer](given.events, given.users)))
        return
    events, users = QUICK if given.quick else FULL
    root = make_events(given.cache, events, users)
    check(make_events(given.cache, *QUICK), QUICK[1])
    rows = measure(root, users, 1 if given.quick else 5)
    for row in rows:
        print(row)
    if not given.quick or given.to:
        where = {"to": given.to} if given.to else {}
        write_results("histories", rows, command="python -m benchmarks.histories", **where)


if __name__ == "__main__":
    main()
