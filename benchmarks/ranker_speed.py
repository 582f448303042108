"""W2 and W3: training from DuckDB beside XGBoost with everything in memory and beside pandas; features of a request.

    python -m benchmarks.ranker_speed            # some minutes
    python -m benchmarks.ranker_speed --quick    # does it run?

Rows are synthetic and seeded: as many features as a ranker with priors has, written to Parquet in two files as
`ml.ranking.arms` does (base, priors). Time and peak memory of W2 are those of a process of its own for each peer, from
the start of its work, imports and the reading of labels aside: ours streams from DuckDB, `memory` is handed a float32
matrix that is already there (its loading is not timed), `pandas` reads the files by DuckDB into a frame and gives
XGBoost that. W3 times the look-up and assembly of 200 candidates x all features together with the trees, against the
trees alone on the same block, both in one thread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Row, interleaved, peak_rss_mb, ratio, write_results
from ml.ranking.blocks import BASE, CONTEXT, PRIOR_USER, PRIORS, Block, names_of
from ml.ranking.matrices import ROW_GROUP, Selection, StoredFeatures, quantile_matrix
from ml.ranking.request import PairRows, RequestTables
from ml.ranking.settings import RankerSettings

SETTINGS = RankerSettings()
COLUMNS = [names_of(BASE), names_of(PRIORS)]
FULL, QUICK = (2_000_000, 100), (20_000, 10)
"""Rows and trees."""
CANDIDATES, REQUESTS = 200, 300
TREES = 200
"""Trees of W3's model."""


def make_rows(cache: Path, rows: int) -> Path:
    """Parquet files of this size, made unless they are there; the label depends on a few of the features."""
    root = cache / f"rows-{rows}-{sum(map(len, COLUMNS))}"
    if (root / "_SUCCESS").exists():
        return root
    root.mkdir(parents=True, exist_ok=True)
    rng, weights = np.random.default_rng(0), np.random.default_rng(1).normal(0, 1, 6)
    files = [pq.ParquetWriter(root / f"{i}.parquet", _schema(names)) for i, names in enumerate(COLUMNS)]
    labels = []
    for first in range(0, rows, 100_000):
        n = min(100_000, rows - first)
        parts = [rng.gamma(0.5, 4, (n, len(names))).round(1).astype(np.float32) for names in COLUMNS]
        for file, part, names in zip(files, parts, COLUMNS, strict=True):
            file.write_table(pa.table(list(part.T.copy()), schema=_schema(names)), ROW_GROUP)
        z = np.log1p(parts[0][:, :6]) @ weights / 2 + np.log1p(parts[1][:, 0]) - 4
        labels.append(rng.random(n) < 1 / (1 + np.exp(-z)))
    for file in files:
        file.close()
    np.save(root / "labels.npy", np.concatenate(labels).astype(np.float32))
    (root / "_SUCCESS").touch()
    return root


def _schema(names: list[str]) -> pa.Schema:
    return pa.schema([(name, pa.float32()) for name in names])


def stored(root: Path) -> tuple[StoredFeatures, np.ndarray]:
    labels = np.load(root / "labels.npy")
    return StoredFeatures([root / "0.parquet", root / "1.parquet"], COLUMNS, len(labels)), labels


def ours(root: Path, trees: int) -> float:
    import xgboost  # noqa: F401  (5 s that are nobody's)

    features, labels = stored(root)
    start = time.perf_counter()
    _train(quantile_matrix(Selection(features, np.ones(len(labels), bool), labels), threads=SETTINGS.threads), trees)
    return time.perf_counter() - start


def memory(root: Path, trees: int) -> float:
    import xgboost

    features, labels = stored(root)
    matrix = np.concatenate(list(features.batches()))
    start = time.perf_counter()
    _train(xgboost.QuantileDMatrix(matrix, labels, nthread=SETTINGS.threads), trees)
    return time.perf_counter() - start


def pandas(root: Path, trees: int) -> float:
    import duckdb
    import xgboost

    labels = np.load(root / "labels.npy")
    start = time.perf_counter()
    both = " POSITIONAL JOIN ".join(f"read_parquet('{root}/{i}.parquet')" for i in range(2))
    frame = duckdb.connect().execute(f"SELECT * FROM {both}").df()
    _train(xgboost.QuantileDMatrix(frame, labels, nthread=SETTINGS.threads), trees)
    return time.perf_counter() - start


def _train(data: object, trees: int) -> None:
    import xgboost

    parameters = {"objective": "binary:logistic", "tree_method": "hist", "nthread": SETTINGS.threads}
    xgboost.train(parameters | {"max_depth": SETTINGS.max_depth, "eta": SETTINGS.learning_rate}, data, trees)


PEERS = {"ours": ours, "memory": memory, "pandas": pandas}
SHOWN = {
    "ours": "DuckDB, Arrow batches, DataIter",
    "memory": "QuantileDMatrix of a float32 matrix in memory",
    "pandas": "DuckDB to pandas, QuantileDMatrix of the frame",
}


def training(root: Path, trees: int, rounds: int) -> list[Row]:
    """W2: every peer in a process of its own, interleaved."""
    command = ["-m", "benchmarks.ranker_speed", "--rows", str(root), "--trees", str(trees), "--peer"]
    seconds: dict[str, list[float]] = {name: [] for name in PEERS}
    for number in range(rounds):
        for name in list(PEERS)[:: 1 if number % 2 else -1]:
            done = subprocess.run([sys.executable, *command, name], check=True, capture_output=True, text=True)
            seconds[name].append(float(json.loads(done.stdout.splitlines()[-1])))
    peak = {name: peak_rss_mb([*command, name]) for name in PEERS}
    size = f"{len(np.load(root / 'labels.npy')):,} rows x {sum(map(len, COLUMNS))} features, {trees} trees"
    value, low, high = ratio(seconds["memory"], seconds["ours"])
    rows: list[Row] = [
        {"id": "W2.speed", "what": f"training speed from DuckDB; {size}", "value": value, "unit": "x", "low": low}
        | {"high": high, "target": ">= 0.9x", "against": SHOWN["memory"]},
        {"id": "W2.memory", "what": "peak RSS", "value": peak["ours"] / peak["pandas"], "unit": "x"}
        | {"target": "<= 0.5x", "against": SHOWN["pandas"]},
    ]
    for name, values in seconds.items():
        about = {"low": min(values), "high": max(values)}
        rows.append({"id": f"W2.seconds.{name}", "what": SHOWN[name], "value": median(values), "unit": "s"} | about)
        rows.append({"id": f"W2.peak.{name}", "what": f"peak RSS, {SHOWN[name]}", "value": peak[name], "unit": "MB"})
    return rows


def request_tables(rng: np.random.Generator, n_users: int = 2_000, n_ads: int = 5_000) -> RequestTables:
    """A store of users with histories of 5 to 40 rows a block."""
    sizes = {"advertiser": 800, "category": 120, "vertical": 20, "ad": n_ads}
    widths = {block.name: block for block in (*BASE, *PRIORS)}

    def rows(block: Block, n: int) -> np.ndarray:
        return rng.gamma(0.5, 4, (n, len(block.features))).astype(np.float32)

    def pairs(name: str) -> PairRows:
        others = sizes[name.rpartition("_")[2]]
        lengths = rng.integers(5, min(41, others), n_users) + 1
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        other = np.concatenate([[0, *rng.choice(others, n - 1, replace=False)] for n in lengths])
        return PairRows(offsets, rows(widths[name], offsets[-1]), other, np.zeros(others, dtype=np.int64))

    halves = {name: rng.integers(0, sizes[name], n_ads) for name in ("advertiser", "category", "vertical")}
    named = ("user_advertiser", "user_ad", "user_category", "user_vertical")
    named += ("prior_advertiser", "prior_vertical", "prior_category")
    return RequestTables(
        rows(widths["user"], n_users), rows(widths["ad"], n_ads), rows(PRIOR_USER, n_users), halves,
        {name: pairs(name) for name in named},
    )  # fmt: skip


def requests(rounds: int) -> list[Row]:
    """W3: features and trees of a request beside the trees alone, request by request."""
    import xgboost

    rng = np.random.default_rng(0)
    tables, context = request_tables(rng), np.ones((1, len(CONTEXT.features)), np.float32)
    asked = [(int(rng.integers(0, 2_000)), rng.choice(5_000, CANDIDATES, replace=False)) for _ in range(REQUESTS)]
    blocks = [tables.matrix(user, ads, context) for user, ads in asked]
    learned = np.concatenate(blocks[:100])
    z = np.log1p(learned[:, :8]) @ rng.normal(0, 1, 8) - 2
    labels = (rng.random(len(z)) < 1 / (1 + np.exp(-z))).astype(np.float32)
    parameters = {"objective": "binary:logistic", "max_depth": SETTINGS.max_depth, "eta": SETTINGS.learning_rate}
    booster = xgboost.train(parameters | {"nthread": 1}, xgboost.QuantileDMatrix(learned, labels), TREES)
    booster.set_param({"nthread": 1})

    def bare() -> None:
        for block in blocks:
            booster.inplace_predict(block, predict_type="margin", validate_features=False)

    def whole() -> None:
        for user, ads in asked:
            block = tables.matrix(user, ads, context)
            booster.inplace_predict(block, predict_type="margin", validate_features=False)

    seconds = interleaved({"whole": whole, "bare": bare}, rounds)
    value, low, high = ratio(seconds["whole"], seconds["bare"])
    what = f"{CANDIDATES} candidates x {blocks[0].shape[1]} features, looked up and scored, {TREES} trees"
    row: Row = {"id": "W3", "what": what, "value": value, "unit": "x", "low": low, "high": high}
    row |= {"target": "<= 1.3x", "against": "inplace_predict on the same block"}
    each = {name: 1000 * median(values) / REQUESTS for name, values in seconds.items()}
    return [row, *({"id": f"W3.ms.{name}", "what": name, "value": ms, "unit": "ms"} for name, ms in each.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("var/ranker_speed"), help="where the rows are kept")
    parser.add_argument("--quick", action="store_true", help="few rows, one round: does it run?")
    parser.add_argument("--to", type=Path, help="where results are written; default docs/results, with --quick nowhere")
    parser.add_argument("--peer", choices=list(PEERS), help="train one peer on --rows and print its seconds")
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--trees", type=int)
    given = parser.parse_args()
    if given.peer:
        print(json.dumps(PEERS[given.peer](given.rows, given.trees)))
        return
    (rows, trees), rounds = (QUICK, 1) if given.quick else (FULL, 5)
    found = [*training(make_rows(given.cache, rows), trees, rounds), *requests(rounds)]
    for row in found:
        print(row)
    if not given.quick or given.to:
        where = {"to": given.to} if given.to else {}
        write_results("ranker_speed", found, command="python -m benchmarks.ranker_speed", **where)


if __name__ == "__main__":
    main()
