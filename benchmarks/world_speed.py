"""How fast the simulated world lives and writes its logs: row W1.

    python -m benchmarks.world_speed [--quick]

W1         auctions a second per core, logs written: days of a warm `small`-like world of 20,000 users on one process,
           by CPU time of the whole process (text, Parquet and all); starting up is not counted
W1.linear  CPU seconds per user and day of the larger of two sizes over the smaller one (1: cost is linear in users)
W1.memory  peak resident memory of the `large` size, 100,000 users and 2,000 advertisers, one process, over some days
           with nothing but the warm-up left out; what grows after them is estimated from the last days' growth
W1.spread  auctions a second, wall clock, on as many processes as there are cores
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import Row, peak_rss_mb, write_results
from ml.world.crew import Crew, Worker
from ml.world.settings import WorldSettings

LARGE = {"advertisers": 2000, "ads": 20_000}
SMALL = {"advertisers": 500, "ads": 5000}
WARM_UP = 3
_PEAK = "from benchmarks.world_speed import live; import sys; live(int(sys.argv[1]), int(sys.argv[2]))"


def timed_days(settings: WorldSettings, days: int) -> tuple[list[float], list[float]]:
    """CPU seconds of each logged day after a short warm-up, and its auctions."""
    seconds, auctions = [], []
    with tempfile.TemporaryDirectory() as root, Crew(settings, 7, Path(root)) as crew:
        (worker,) = crew.workers
        assert isinstance(worker, Worker)
        for day in range(-WARM_UP, days):
            start = time.process_time()
            crew.day(day)
            if day >= 0:
                seconds.append(time.process_time() - start)
                auctions.append(float(sum(shard.requested for shard in worker.shards)))
    return seconds, auctions


def per_core(users: int, days: int) -> list[Row]:
    """W1, W1.linear: the two sizes."""
    found = {}
    for size in (users // 4, users):
        seconds, auctions = timed_days(WorldSettings(users=size, **SMALL), days)
        found[size] = (np.array(seconds), np.array(auctions))
    seconds, auctions = found[users]
    rates = auctions / seconds
    per_user = {size: np.median(cpu) / size for size, (cpu, _) in found.items()}
    what = f"auctions a second per core, logs written; {users:,} users, {SMALL['advertisers']} advertisers, {days} days"
    return [
        {"id": "W1", "what": what, "value": float(auctions.sum() / seconds.sum()), "unit": "1/s",
         "low": float(rates.min()), "high": float(rates.max()), "target": ">= 50,000"},
        {"id": "W1.linear", "what": f"CPU time per user and day, {users:,} users over {users // 4:,}",
         "value": float(per_user[users] / per_user[users // 4]), "unit": "x", "target": "<= 1.15x"},
    ]  # fmt: skip


def live(users: int, days: int) -> None:
    """Live and write some days of a large world, and print memory after each (MB)."""
    settings = WorldSettings(users=users, **LARGE)
    with tempfile.TemporaryDirectory() as root, Crew(settings, 7, Path(root)) as crew:
        for day in range(days):
            crew.day(day)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


def memory(users: int, days: int) -> list[Row]:
    """W1.memory: peak of a process of its own, in half and in all of the days."""
    half, whole = (peak_rss_mb(["-c", _PEAK, str(users), str(n)]) for n in (days // 2, days))
    growth = (whole - half) / (days - days // 2)
    what = f"peak memory, {users:,} users, {LARGE['advertisers']:,} advertisers, one process, {days} days"
    per_day = (
        f"growth of that peak a day, from day {days // 2} to day {days}; conversions remembered reach a level later"
    )
    return [
        {"id": "W1.memory", "what": what, "value": whole, "unit": "MB", "target": "<= 4,000 MB"},
        {"id": "W1.growth", "what": per_day, "value": growth, "unit": "MB"},
    ]  # fmt: skip


def spread(users: int, days: int) -> Row:
    """W1.spread: all cores, wall clock, the rate of one process in the same run beside it."""
    cores = os.cpu_count() or 1
    rates = {}
    for processes in (1, cores):
        settings = WorldSettings(users=users, shard_users=users // 4, **SMALL)
        with tempfile.TemporaryDirectory() as root, Crew(settings, 7, Path(root), processes) as crew:
            crew.day(-1)
            start, rows = time.perf_counter(), 0
            for day in range(days):
                rows += crew.day(day)["impressions"]
            rates[processes] = rows / (time.perf_counter() - start)
    what = f"impressions a second on {cores} processes over one, wall clock, {users:,} users"
    return {"id": "W1.spread", "what": what, "value": rates[cores] / rates[1], "unit": "x", "against": "one process"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few days: does it run?")
    parser.add_argument("--to", type=Path, help="where results are written; default docs/results, with --quick nowhere")
    given = parser.parse_args()
    users, days, large, large_days = (2000, 2, 4000, 2) if given.quick else (20_000, 8, 100_000, 6)
    rows = [*per_core(users, days), *memory(large, large_days), spread(users, days)]
    for row in rows:
        print(row)
    if not given.quick or given.to:
        where = {"to": given.to} if given.to else {}
        write_results("world-speed", rows, command="python -m benchmarks.world_speed", **where)


if __name__ == "__main__":
    main()
