"""What every benchmark shares: peers timed side by side, and results written as docs/results/<name>.json and .md.

A row is {id, what, value, unit, low?, high?, target?, against?}; `target` is text such as ">= 40x".
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from orchestration.provenance import git_commit, machine

RESULTS = Path(__file__).parent.parent / "docs" / "results"
Row = dict[str, Any]


def interleaved(
    peers: Mapping[str, Callable[[], object]], rounds: int = 5, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each peer in each round; in every round all peers run once, each second round in reverse order.

    A first round of all warms up and is not counted. `clock=time.process_time` counts CPU seconds of all threads.
    """
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(rounds + 1):
        for name in list(peers) if number % 2 else list(peers)[::-1]:
            start = clock()
            peers[name]()
            if number:
                seconds[name].append(clock() - start)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> tuple[float, float, float]:
    """Median, least and greatest of the ratios slow / fast, round by round."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    return median(ratios), min(ratios), max(ratios)


def peak_rss_mb(arguments: list[str]) -> float:
    """Peak resident memory (MB) of `python <arguments>`, run in a process of its own."""
    watch = (
        "import resource, subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]], check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", watch, *arguments], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def write_results(name: str, rows: list[Row], *, command: str, notes: str = "", to: Path = RESULTS) -> None:
    """Write <to>/<name>.json and .md, whole or not at all."""
    result = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "machine": machine(),
        "command": command,
        "rows": rows,
    }
    to.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("json", json.dumps(result, indent=2) + "\n"), ("md", _markdown(result, notes))):
        temporary = to / f".{name}.{suffix}.tmp"
        temporary.write_text(text)
        temporary.replace(to / f"{name}.{suffix}")


def _markdown(result: dict[str, Any], notes: str) -> str:
    where = result["machine"]
    lines = [
        f"# {result['name']}",
        "",
        f"{result['date'][:10]}, commit {result['commit']}, {where['cpu']}, {where['cores']} cores, "
        f"{where['memory_gb']} GB, bf16 matrix units: {'yes' if where['bf16_matrix_units'] else 'no'}, "
        f"GPU: {where['gpu'] or 'none'}. "
        f"Command: `{result['command']}`.",
        *(["", notes] if notes else []),
        "",
        "| id | what | value | interval or range | target | against |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        spread = f"{_number(row['low'])} to {_number(row['high'])}" if row.get("low") is not None else ""
        value = f"{_number(row['value'])} {row.get('unit', '')}".strip()
        lines.append(
            f"| {row['id']} | {row['what']} | {value} | {spread} | {row.get('target', '')} | {row.get('against', '')} |"
        )
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
