"""How often quiet weeks look like drift, and how soon an upset of interests is seen, on several seeds of the world.

    python -m benchmarks.drift_calibration                  # tiny and small, five seeds each: about 25 minutes
    python -m benchmarks.drift_calibration tiny --seeds 2

Each world is trained on day 45, lives three quiet weeks (days 46 to 66) and a fortnight after everybody's interests
are upset on day 67. Every day is measured and decided on as the assets and the sensor do, without Dagster. Writes
docs/results/drift-calibration.json and .md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from ml.lake import Lake
from ml.monitoring.drift import DriftReport, measure_drift
from ml.monitoring.policy import DayReport, Request, decide
from ml.monitoring.reference import DriftReference, build_reference
from ml.monitoring.settings import DriftSettings
from ml.sources.ingest import IngestReport, ingest
from ml.sources.world import WorldSource
from ml.timeline import Timeline, TimelineSettings
from ml.world.settings import WorldSettings
from orchestration.provenance import git_commit, machine

RESULTS = Path(__file__).parent.parent / "docs" / "results"
SIZES: dict[str, dict[str, int]] = {"tiny": {"users": 300, "advertisers": 40, "ads": 300}, "small": {}}
TRAINED, UPSET, LAST = 45, 67, 80
DRIFT, TIMELINE = DriftSettings(), TimelineSettings()
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25)


@dataclass
class World:
    """A simulated and ingested world, and the reference of the training on day TRAINED."""

    settings: WorldSettings
    lake: Lake
    volumes: dict[str, pd.DataFrame]
    reference: DriftReference

    @classmethod
    def make(cls, root: Path, size: str, seed: int, scenario: str) -> World:
        settings = WorldSettings(
            **SIZES[size], days=LAST + 1 - 7, scenario=scenario, scenario_day=UPSET  # type: ignore[arg-type]
        )  # fmt: skip
        source, lake = WorldSource(settings, seed, root / "landing"), Lake(root / "lake")
        counted = ingest(source, source.window(), lake, root / "quarantine", sparse=False)
        timeline = Timeline(settings.first_day + timedelta(days=TRAINED), TIMELINE)
        reference = build_reference(lake, timeline.predictor_cutoff, DRIFT, settle_days=TIMELINE.outcome_days)
        return cls(settings, lake, _volumes(counted), reference)

    def day(self, number: int) -> date:
        return self.settings.first_day + timedelta(days=number)

    def report(self, number: int) -> DriftReport:
        return measure_drift(self.lake, self.day(number), self.reference, self.volumes, DRIFT)


@dataclass
class Tally:
    """What the days of one world size showed, over its seeds."""

    quiet: list[dict[str, Any]] = field(default_factory=list)
    upset: list[dict[str, Any]] = field(default_factory=list)
    quiet_requests: int = 0
    quiet_episodes: int = 0
    days_to_alert: list[int] = field(default_factory=list)
    days_to_request: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    fault_days: list[int] = field(default_factory=list)
    fault_requests: int = 0

    def add(self, world: World, seed: int) -> None:
        """Live through all days of a world with an upset."""
        reports: list[DayReport] = []
        requests: list[Request] = []
        first_alert = None
        for number in range(TRAINED + 1, LAST + 1):
            report, days = world.report(number), self.quiet if number < UPSET else self.upset
            days += [{"seed": seed, "day": number, **row} for row in report.as_json()["rows"]]
            decision = _decided(world, report, reports, requests)
            if decision.retrain and number < UPSET:
                self.quiet_requests += 1
            if number == UPSET - 1:
                self.quiet_episodes += decision.drift is not None
            if number >= UPSET and report.input == "alert" and first_alert is None:
                first_alert = number
        after = [(r.day - world.day(UPSET)).days for r in requests if r.day >= world.day(UPSET)]
        self.days_to_alert.append(first_alert - UPSET + 1 if first_alert else -1)
        self.days_to_request.append(after[0] + 1 if after else -1)
        self.requests.append(len(after))

    def add_broken(self, world: World) -> None:
        """Live through the days around a column that breaks."""
        reports: list[DayReport] = []
        requests: list[Request] = []
        found = None
        for number in range(UPSET - 3, UPSET + 10):
            report = world.report(number)
            _decided(world, report, reports, requests)
            if found is None and report.fault == "alert":
                found = number - UPSET + 1
        self.fault_days.append(found if found is not None else -1)
        self.fault_requests += len(requests)


def _decided(world: World, report: DriftReport, reports: list[DayReport], requests: list[Request]) -> Any:
    facts = {"trained_on": world.day(TRAINED).isoformat()}
    reports.append(DayReport.from_json({**report.as_json(), **facts}))
    decision = decide(reports, requests, DRIFT)
    if decision.retrain:
        requests.append(Request(report.day, failed=False, by_drift=True))
    return decision


def _volumes(report: IngestReport) -> dict[str, pd.DataFrame]:
    return {
        name: pd.DataFrame(
            {
                "day": [str(day) for day in table.rows_by_day],
                "rows": list(table.rows_by_day.values()),
                "quarantined": list(table.quarantined_by_day.values()),
            }
        )
        for name, table in report.tables.items()
    }


def rows_of(size: str, tally: Tally) -> Iterator[dict[str, Any]]:
    """Rows {id, what, value, unit, low?, high?, target?} of docs/results."""
    seeds = len(tally.days_to_alert)
    quiet = [row for row in tally.quiet if row["verdict"] != "too_few"]
    drift = [row for row in quiet if row["concern"] in ("input", "unseen")]
    psi = [row for row in quiet if row["statistic"] == "psi"]

    def row(name: str, what: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
        return {"id": f"{size}.{name}", "what": f"{size}: {what}", "value": value, "unit": unit, **more}

    yield row("quiet.days", f"quiet days measured ({seeds} seeds)", len({(r["seed"], r["day"]) for r in quiet}), "days")
    alerts = [r for r in drift if r["verdict"] == "alert"]
    warns = [r for r in drift if r["verdict"] == "warn"]
    faults = [r for r in quiet if r["concern"] in ("missing", "quarantine") and r["verdict"] == "alert"]
    yield row("quiet.rows", "feature-days judged for drift", len(drift), "rows")
    yield row("quiet.alerts", "of them alerts", len(alerts), "rows", target=0)
    yield row("quiet.warnings", f"of them warnings ({_names(warns)})", len(warns), "rows")
    yield row("quiet.faults", "data faults on quiet days", len(faults), "rows", target=0)
    yield row("quiet.episodes", "drift begun on quiet days", tally.quiet_episodes, "episodes", target=0)
    yield row("quiet.requests", "retrainings requested on quiet days", tally.quiet_requests, "requests", target=0)
    for threshold in THRESHOLDS:
        for name, over in (
            ("raw PSI", [r for r in psi if r["raw"] >= threshold]),
            ("debiased PSI", [r for r in psi if r["value"] >= threshold]),
            ("debiased PSI and p", [r for r in psi if r["value"] >= threshold and r["p_value"] <= DRIFT.max_p]),
        ):
            what = f"quiet feature-days with {name} of {threshold} or more"
            yield row(f"quiet.over.{name.replace(' ', '_')}.{threshold}", what, len(over), f"of {len(psi)}")
    for feature in sorted({r["feature"] for r in drift}):
        mine, then = ([r for r in rows if r["feature"] == feature] for rows in (drift, tally.upset))
        last = [r["value"] for r in then if r["day"] == LAST]
        what = f"{feature}, largest on quiet days (low, high: a fortnight after the upset, over seeds)"
        yield row(
            f"max.{feature}", what, max(r["value"] for r in mine), mine[0]["statistic"], low=min(last), high=max(last)
        )
    for name, what, days in (
        ("upset.days_to_alert", "days of upset until a feature alerts", tally.days_to_alert),
        ("upset.days_to_request", "days of upset until a retraining is requested", tally.days_to_request),
        ("upset.requests", "requests in the fortnight", tally.requests),
        ("broken.days_to_fault", "days of a broken column until it is a fault", tally.fault_days),
    ):
        if days:
            mean = round(sum(days) / len(days), 2)
            yield row(name, f"{what}, mean (low, high: over seeds)", mean, "", low=min(days), high=max(days))
    if tally.fault_days:
        yield row("broken.requests", "retrainings requested on it", tally.fault_requests, "requests", target=0)


def _names(rows: list[dict[str, Any]]) -> str:
    found = Counter(row["feature"] for row in rows)
    return ", ".join(f"{name} {n}" for name, n in found.most_common()) or "none"


def table_of(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        f"# {result['name']}",
        "",
        f"{result['date'][:10]}, commit {result['commit']}, {result['machine']['cpu']}. "
        f"Command: `{result['command']}`.",
        "",
        __doc__.split("\n\n")[2].replace("\n", " ").split(" Writes ")[0],
        "",
        "| what | value | unit | low | high | target |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        low, high, target = (f"{row[key]:g}" if row.get(key) is not None else "" for key in ("low", "high", "target"))
        lines.append(f"| {row['what']} | {row['value']:g} | {row['unit']} | {low} | {high} | {target} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=list(SIZES), metavar="tiny|small")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--to", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for size in given.sizes:
        tally = Tally()
        for seed in range(1, given.seeds + 1):
            for scenario in ("interest_upset", "broken_column"):
                if scenario == "broken_column" and seed > 2:
                    continue
                root = Path(tempfile.mkdtemp(prefix="adprior-drift-"))
                try:
                    world = World.make(root, size, seed, scenario)
                    tally.add(world, seed) if scenario == "interest_upset" else tally.add_broken(world)
                finally:
                    shutil.rmtree(root)
            print(f"{size}, seed {seed}: alert after {tally.days_to_alert[-1]} days", flush=True)
        rows += rows_of(size, tally)
    result = {
        "name": "drift-calibration",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "machine": machine(),
        "command": f"python -m benchmarks.drift_calibration {' '.join(given.sizes)} --seeds {given.seeds}",
        "rows": rows,
    }
    (given.to / f"{result['name']}.json").write_text(json.dumps(result, indent=2) + "\n")
    (given.to / f"{result['name']}.md").write_text(table_of(result))
    print(f"wrote {given.to / 'drift-calibration.json'} and .md")


if __name__ == "__main__":
    main()
