"""simulate: live the world day by day and write its raw logs.

    from ml.world.settings import WorldSettings
    from ml.world.simulator import simulate
    simulate(WorldSettings(), seed=7, out=Path("landing"))

Each day: interests drift, intents begin and leave searches and visits, the market shows ads, users
click, intents and clicks become conversions. Same settings and seed give the same bytes (with the same
numpy and pyarrow on the same kind of processor). Memory stays that of one day plus the (users x
advertisers) state, about 150 MB for the defaults.
"""

from __future__ import annotations

from pathlib import Path

from ml.artifacts import fingerprint_of, publish, work_dir
from ml.progress import Progress, silent
from ml.world.catalogue import draw_catalogue, load_names, load_subverticals
from ml.world.clock import Chance, Stage
from ml.world.intents import Intents
from ml.world.market import Market
from ml.world.population import Population
from ml.world.response import Response
from ml.world.scenarios import SCENARIOS
from ml.world.settings import WorldSettings
from ml.world.writer import DayWriter

VERSION = 2
"""Raised when the same settings and seed begin to give another world."""


def world_fingerprint(settings: WorldSettings, seed: int) -> str:
    """Changes when the simulated logs would."""
    data = [load_names().to_csv(index=False), load_subverticals().to_csv(index=False)]
    return fingerprint_of(
        {"version": VERSION, "settings": settings.model_dump(mode="json"), "seed": seed, "data": data}
    )


def simulate(settings: WorldSettings, seed: int, out: Path, progress: Progress = silent) -> None:
    """Write all seven contract tables under `out`, which appears complete with its manifest or not at all.

    Args:
        settings: the world.
        seed: all its randomness.
        out: landing directory, `<out>/<table>/date=YYYY-MM-DD/part-0.parquet`; replaced if it exists.
        progress: told after every logged day.
    """
    fingerprint = world_fingerprint(settings, seed)
    work = work_dir(out, fingerprint)
    chance = Chance(seed)
    population = Population(settings, draw_catalogue(settings, chance.of(Stage.CATALOGUE)), chance)
    intents = Intents(population, chance)
    market = Market(population, chance)
    response = Response(population, intents, chance)
    scenario = SCENARIOS[settings.scenario](chance, settings.scenario_day)
    writer = DayWriter(work, population, chance, scenario)
    for day in range(-settings.warm_up_days, settings.total_days):
        if day == 0:
            response.forget()
        scenario.wake(day, population)
        population.live(day)
        intents.begin(day)
        activity = intents.activity(day)
        shown = market.impressions(day, market.requests(day, activity))
        clicks = response.clicks(day, shown)
        conversions = response.conversions(day)
        market.observe(activity)
        if day < 0:
            continue
        writer.registers(day)
        writer.activity(day, activity)
        writer.impressions(day, shown)
        writer.clicks(day, clicks)
        writer.conversions(day, conversions)
        progress(day + 1, settings.total_days, "days")
    publish(
        work,
        out,
        {
            "kind": "raw logs",
            "source": "world",
            "fingerprint": fingerprint,
            "settings": settings.model_dump(mode="json"),
            "seed": seed,
            "rows": writer.rows,
        },
    )
