"""The whole way through the real Dagster daemon: a world drifts, its reports are made, the daemon's sensor acts.

World-tiny lives three quiet weeks after its training, then everybody's interests are upset. The daemon must stay
silent on the quiet days, then alert and request one retraining. The requested run only waits in the queue
(max_concurrent_runs: 0): training is not what is tested here. The short version makes a few of the days' reports.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.drift.webhook import Webhook, webhook

ROOT = Path(__file__).parents[2]
FIRST, TRAINED, QUIET, UPSET = date(2026, 3, 1), 45, range(46, 67), 67
INSTANCE = """
telemetry: {enabled: false}
nux: {enabled: false}
concurrency: {runs: {max_concurrent_runs: 0}}
sensors: {use_threads: false}
"""
INGEST = """
from ml.sources.ingest import ingest
from orchestration import ingested
from orchestration.workspace import Workspace
space = Workspace()
window = space.source.window()
report = ingest(space.source, window, space.lake, space.root / "quarantine", sparse=False)
ingested.update(space, window, report, seconds=1.0, run_id="test")
"""
MATERIALIZE = """
import sys, dagster as dg
from orchestration.definitions import defs
job, (names, *days) = defs.resolve_job_def("snapshot_day"), sys.argv[1:]
with dg.DagsterInstance.get() as instance:
    for day in days:
        keys = [dg.AssetKey(name) for name in names.split(",")]
        assert job.execute_in_process(instance=instance, partition_key=day, asset_selection=keys).success
"""


class Site:
    """A world-tiny workspace with a daemon on it."""

    def __init__(self, out: Path, hook: Webhook) -> None:
        self.root = out / "world-tiny"
        self.home = self.root / "dagster"
        self.home.mkdir(parents=True)
        (self.home / "dagster.yaml").write_text(INSTANCE)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ADPRIOR_", "DAGSTER_"))}
        self.environment = {
            **clean,
            "ADPRIOR_PROFILE": "tiny",
            "ADPRIOR_OUT": str(out),
            "ADPRIOR_WORLD__DAYS": "74",
            "ADPRIOR_WORLD__SCENARIO": "interest_upset",
            "ADPRIOR_WORLD__SCENARIO_DAY": str(UPSET),
            "ADPRIOR_ALERTS__EVERY_SECONDS": "2",
            "ADPRIOR_ALERT_WEBHOOK": hook.address,
            "DAGSTER_HOME": str(self.home),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }

    def python(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def make(self, assets: str, *numbers: int) -> None:
        """Materialize assets for days, given by number."""
        self.python("-c", MATERIALIZE, assets, *(str(FIRST + timedelta(days=n)) for n in numbers))

    def daemon(self) -> subprocess.Popen[bytes]:
        with (self.home / "daemon.log").open("w") as log:
            return subprocess.Popen(
                [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-m", "orchestration.definitions"],
                cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def alerts(self) -> list[dict[str, Any]]:
        path = self.root / "alerts.jsonl"
        entries = map(json.loads, path.read_text().splitlines()) if path.exists() else []
        return [entry for entry in entries if entry["event"] == "alert"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Site, Webhook]]:
    """A site whose daemon runs with the sensor switched on, as a user switches it on."""
    with webhook() as hook:
        site = Site(tmp_path / "out", hook)
        site.python("-c", INGEST)
        site.make("training_examples,drift_reference", TRAINED)
        site.python("-m", "dagster", "sensor", "start", "drift_sensor", "-m", "orchestration.definitions")
        daemon = site.daemon()
        try:
            yield site, hook
        finally:
            daemon.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(timeout=20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()


def wait_for(what: Callable[[], Any], log: Path, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.3)
    raise AssertionError("nothing happened; the daemon said:\n" + "\n".join(log.read_text().splitlines()[-30:]))


def looked_at(instance: dg.DagsterInstance, day: int) -> list[str]:
    """Reasons that the sensor's ticks gave for requesting nothing, once one has seen the report of a day."""
    ticks = [
        t for s in instance.all_instigator_state() for t in instance.get_ticks(s.instigator_origin_id, s.selector_id)
    ]
    said = [tick.skip_reason or "" for tick in ticks]
    return said if any(reason.startswith(str(FIRST + timedelta(days=day))) for reason in said) else []


@pytest.mark.parametrize(
    "quiet", [pytest.param([46, 56, 66], id="short"), pytest.param(list(QUIET), marks=pytest.mark.slow, id="whole")]
)
def test_silence_on_quiet_days_then_an_alert_and_one_request(site: tuple[Site, Webhook], quiet: list[int]) -> None:
    house, hook = site
    log = house.home / "daemon.log"
    house.make("drift_report", *quiet)
    with dg.DagsterInstance.from_config(str(house.home)) as instance:
        said = wait_for(lambda: looked_at(instance, quiet[-1]), log)
        assert not any("drift" in reason.split(":")[1] for reason in said if reason.startswith("2026-"))
        assert house.alerts() == [] and hook.messages == []
        assert instance.get_runs(filters=dg.RunsFilter(job_name="retrain")) == []

        house.make("drift_report", UPSET + 6, UPSET + 7)
        queued = dg.RunsFilter(job_name="retrain", statuses=[dg.DagsterRunStatus.QUEUED])
        retrain = wait_for(lambda: instance.get_runs(filters=queued), log)[0]
        wait_for(lambda: hook.messages, log)
        day = FIRST + timedelta(days=UPSET + 7)
        assert retrain.tags["adprior/retrain"].startswith(f"drift since {day - timedelta(days=1)}: ")
        assert retrain.tags["adprior/day"] == str(day)
        assert "activity_category" in retrain.tags["adprior/drift"]
        assert retrain.tags["dagster/sensor_name"] == "drift_sensor"
        (alert,) = house.alerts()
        assert alert["request"] == f"Requested a retraining of all models for {day}."
        assert any("category of searches and visits: PSI" in line for line in alert["lines"])
        assert "Requested a retraining" in hook.messages[0]["text"]

        house.make("drift_report", UPSET + 8)
        wait_for(lambda: looked_at(instance, UPSET + 8), log)
        assert len(instance.get_runs(filters=dg.RunsFilter(job_name="retrain"))) == 1, "the cooldown holds"
        assert len(house.alerts()) == len(hook.messages) == 1
        instance.report_run_canceled(retrain)
