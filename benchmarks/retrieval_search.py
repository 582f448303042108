"""C1: exact search for the nearest ads among a million, in blocks, beside one product and a partition of all scores.

    python -m benchmarks.retrieval_search            # about a minute
    python -m benchmarks.retrieval_search --quick    # does it run?

Vectors are random, as wide as the two-tower's; both ask numpy's BLAS. The answers must be equal up to rounding. Memory
is that of the arrays each makes beyond the vectors (tracemalloc).
"""

from __future__ import annotations

import argparse
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import Row, interleaved, ratio, write_results
from ml.candidates.search import top_ads
from ml.candidates.settings import TowerSettings

BEST = 100


def at_once(users: np.ndarray, ads: np.ndarray) -> np.ndarray:
    """Scores of the best ads of each user, best first, from all scores at once."""
    scores = users @ ads.T
    best = np.argpartition(-scores, BEST - 1, axis=1)[:, :BEST]
    return -np.sort(-np.take_along_axis(scores, best, axis=1), axis=1)


def peak_mb(search: Callable[[], object]) -> float:
    """Peak of what a search allocates, MB."""
    tracemalloc.start()
    search()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return peak


def measure(n_users: int, n_ads: int, rounds: int) -> list[Row]:
    """C1 and its parts.

    Raises:
        SystemExit: the two searches disagree.
    """
    settings, rng = TowerSettings(), np.random.default_rng(0)
    width = settings.hidden + settings.dimensions + 1
    ads = rng.standard_normal((n_ads, width), dtype=np.float32)
    users = rng.standard_normal((n_users, width), dtype=np.float32)
    if not np.allclose(top_ads(users, ads, BEST)[1], at_once(users, ads), rtol=1e-4):
        raise SystemExit("the two searches disagree")
    peers = {"blocks": lambda: top_ads(users, ads, BEST), "at once": lambda: at_once(users, ads)}
    seconds = interleaved(peers, rounds)
    times, low, high = ratio(seconds["at once"], seconds["blocks"])
    rate = sorted(n_users / second for second in seconds["blocks"])
    what = f"best {BEST} of {n_ads:,} ads of width {width}, exact"
    return [
        {"id": "C1", "what": f"{what}: users a second", "value": rate[len(rate) // 2], "unit": "users/s"}
        | {"low": rate[0], "high": rate[-1]},
        {"id": "C1.speed", "what": what, "value": times, "unit": "x", "low": low, "high": high}
        | {"against": "one product and a partition of all scores"},
        {"id": "C1.memory", "what": f"peak beyond the vectors, {n_users:,} users", "value": peak_mb(peers["blocks"])}
        | {"unit": "MB", "against": f"{peak_mb(peers['at once']):,.0f} MB"},
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few ads, one round: does it run?")
    parser.add_argument("--to", type=Path, help="where results are written; default docs/results, with --quick nowhere")
    given = parser.parse_args()
    rows = measure(20, 50_000, 1) if given.quick else measure(512, 1_000_000, 5)
    for row in rows:
        print(row)
    if not given.quick or given.to:
        where = {"to": given.to} if given.to else {}
        write_results("retrieval-search", rows, command="python -m benchmarks.retrieval_search", **where)


if __name__ == "__main__":
    main()
