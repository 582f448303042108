"""simulate: live the world day by day and write its raw logs.

    from ml.world.settings import WorldSettings
    from ml.world.simulator import simulate
    simulate(WorldSettings(), seed=7, out=Path("landing"))

Each day: interests drift, intents begin and leave searches and visits; block of hours by block, the market shows ads
and users click; intents and clicks become conversions. Same settings and seed give the same bytes on any number of
processes (with the same numpy and pyarrow on the same kind of processor). Memory is that of a day of one shard of users
per process, and a state that grows with users, not with users x advertisers.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ml.artifacts import fingerprint_of, publish, work_dir
from ml.progress import Progress, silent
from ml.sources.contract import TABLES
from ml.world.catalogue import load_names, load_subverticals
from ml.world.crew import Crew
from ml.world.settings import WorldSettings

VERSION = 4
"""Raised when the same settings and seed begin to give another world."""


def world_fingerprint(settings: WorldSettings, seed: int) -> str:
    """Changes when the simulated logs would."""
    data = [load_names().to_csv(index=False), load_subverticals().to_csv(index=False)]
    return fingerprint_of({"version": VERSION, "settings": _settings(settings), "seed": seed, "data": data})


def simulate(settings: WorldSettings, seed: int, out: Path, progress: Progress = silent) -> None:
    """Write all seven contract tables under `out`, which appears complete with its manifest or not at all.

    Args:
        settings: the world.
        seed: all its randomness.
        out: landing directory, `<out>/<table>/date=YYYY-MM-DD/part-<shard>.parquet`; replaced if it exists.
        progress: told after every logged day.
    """
    fingerprint = world_fingerprint(settings, seed)
    work = work_dir(out, fingerprint)
    rows: Counter[str] = Counter(dict.fromkeys(TABLES, 0))
    with Crew(settings, seed, work, settings.processes) as crew:
        for day in range(-settings.warm_up_days, settings.total_days):
            rows.update(crew.day(day))
            if day >= 0:
                progress(day + 1, settings.total_days, "days")
    publish(
        work,
        out,
        {
            "kind": "raw logs",
            "source": "world",
            "fingerprint": fingerprint,
            "settings": _settings(settings),
            "seed": seed,
            "rows": dict(rows),
        },
    )


def _settings(settings: WorldSettings) -> dict[str, object]:
    """What the logs depend on."""
    return settings.model_dump(mode="json", exclude={"processes"})
