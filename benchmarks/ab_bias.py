"""Does a simulated A/B test tell the truth? Many small worlds, each with an experiment of either design and its replay.

    python -m benchmarks.ab_bias [--quick] [--worlds 120]      # resumes: finished worlds are kept in --kept

Arm A adds candidates of predicted advertisers and a term in the score (a forecast that reads the interests of the
world, so that there is an effect to measure), arm B is the logging policy. Per world: the truth by replay (everybody
under A, everybody under B), budget-split and user-split estimates of it with 95 % intervals, and an A/A test.

AB.<measure>.bias       mean error of the budget-split estimate over worlds, 95 % interval by Monte Carlo standard error
AB.<measure>.coverage   share of worlds whose interval holds the truth, and the binomial 95 % band of a true 95 %
AB.<measure>.user       mean error of the user-split estimate; AB.<measure>.user_coverage: how often it holds the truth
AB.aa.coverage          share of A/A intervals that hold 0
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.harness import Row, write_results
from ml.artifacts import fingerprint_of
from ml.world.clock import Chance
from ml.world.experiment import MEASURES, Estimate, assign, budget_split, truth, user_split
from ml.world.life import Life
from ml.world.policies import LoggingPolicy, Predictions, PriorPolicy
from ml.world.replay import Replay
from ml.world.settings import WorldSettings
from ml.world.simulator import VERSION

SETTINGS = WorldSettings(users=2400, advertisers=24, ads=144, warm_up_days=10)
DAYS, REPLICATES, TOP = 4, 5, 8
UNITS = {"conversions": "", "cpa": "$", "roas": "", "revenue": "$"}


def forecast(life: Life) -> Predictions:
    """P(advertiser | user) from the users' true interests: a very good forecast, frozen."""
    catalogue, parts = life.catalogue, []
    for shard in life.shards:
        people = shard.population
        chance = people.interest[:, catalogue.sub] * np.exp(catalogue.brand)
        top = np.argsort(-chance, axis=1)[:, :TOP]
        user = np.repeat(people.first + np.arange(len(top)), TOP)
        parts.append((user, top.ravel(), np.take_along_axis(chance, top, axis=1).ravel()))
    return Predictions.of(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def one_world(seed: int) -> dict[str, dict[str, object]]:
    """Truth and estimates of one world, by design and measure."""
    replay = Replay.lived(SETTINGS, seed, 0)
    a, b = PriorPolicy(forecast(replay.copy()), quota=4, weight=1.0), LoggingPolicy()
    groups = assign(SETTINGS.users, REPLICATES, Chance(seed))
    designs = {
        "budget": budget_split(replay, a, b, DAYS, groups),
        "user": user_split(replay, a, b, DAYS, groups),
        "aa": budget_split(replay, b, b, DAYS, groups),
    }
    told: dict[str, dict[str, object]] = {
        design: {name: asdict(estimate) for name, estimate in found.items()} for design, found in designs.items()
    }
    return told | {"truth": dict(truth(replay, a, b, DAYS))}


def all_worlds(n: int, kept: Path) -> list[dict[str, dict[str, object]]]:
    """The first n worlds; those in `kept` are not lived again."""
    recipe = {"settings": SETTINGS.model_dump(mode="json"), "days": DAYS, "replicates": REPLICATES, "version": VERSION}
    path = kept / f"{fingerprint_of(recipe)[:16]}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    found = {row["seed"]: row for row in map(json.loads, lines)}
    with path.open("a") as file:
        for seed in range(n):
            if seed not in found:
                found[seed] = {"seed": seed, **one_world(seed)}
                file.write(json.dumps(found[seed]) + "\n")
                file.flush()
    return [found[seed] for seed in range(n)]


def rows_of(worlds: list[dict[str, dict[str, object]]]) -> list[Row]:
    """All rows of the table."""
    from scipy.stats import binom

    n, rows = len(worlds), []
    low, high = (float(binom.ppf(q, n, 0.95) / n) for q in (0.025, 0.975))
    band = f"{low:.3f} to {high:.3f}"
    for name in MEASURES:
        known = np.array([world["truth"][name] for world in worlds], dtype=np.float64)
        for design, label in (("budget", "budget-split"), ("user", "user-split")):
            found = [Estimate(**world[design][name]) for world in worlds]  # type: ignore[arg-type]
            error = np.array([estimate.value for estimate in found]) - known
            covered = float(np.mean([e.covers(t) for e, t in zip(found, known, strict=True)]))
            reach = 2 * float(error.std(ddof=1)) / np.sqrt(n)
            what = f"{label}, {name}: mean error over {n} worlds; the true difference is {known.mean():.4g} on average"
            bias = {"what": what, "value": float(error.mean()), "unit": UNITS[name], "low": float(error.mean() - reach)}
            bias |= {"high": float(error.mean() + reach)}
            share = {"what": f"{label}, {name}: share of 95 % intervals that hold the truth", "value": covered}
            if design == "budget":
                rows.append({"id": f"AB.{name}.bias", **bias, "target": "0 within 2 standard errors"})
                rows.append({"id": f"AB.{name}.coverage", **share, "unit": "", "target": band})
            else:
                rows.append({"id": f"AB.{name}.user", **bias, "against": "shown, not wanted: interference"})
                rows.append({"id": f"AB.{name}.user_coverage", **share, "unit": ""})
    aa = [Estimate(**world["aa"][name]).covers(0.0) for world in worlds for name in MEASURES]  # type: ignore[arg-type]
    what = f"A/A, budget-split: share of 95 % intervals that hold 0, {len(MEASURES)} measures of {n} worlds"
    return [*rows, {"id": "AB.aa.coverage", "what": what, "value": float(np.mean(aa)), "unit": "", "target": band}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=120)
    parser.add_argument("--quick", action="store_true", help="3 worlds: does it run?")
    parser.add_argument("--kept", type=Path, default=Path("var/ab_bias"), help="finished worlds")
    parser.add_argument("--to", type=Path, help="where results are written; default docs/results, with --quick nowhere")
    given = parser.parse_args()
    rows = rows_of(all_worlds(3 if given.quick else given.worlds, given.kept))
    for row in rows:
        print(row)
    if not given.quick or given.to:
        where = {"to": given.to} if given.to else {}
        write_results("ab-bias", rows, command="python -m benchmarks.ab_bias", **where)


if __name__ == "__main__":
    main()
