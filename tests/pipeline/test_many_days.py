"""Days one after another: a backfill trains once, reads changed users only and resumes; a retraining is taken up."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from tests.pipeline.conftest import DAY, ROOT, Pipeline
from tests.pipeline.test_resume_and_second_day import MODELS

DAYS = ["2026-04-23", "2026-04-24", "2026-04-25"]


def backfill(pipeline: Pipeline) -> list[str]:
    adprior = pipeline.command()[0]
    place = ["--profile", "tiny", "--out", str(pipeline.out)]
    return [adprior, "backfill", "--from", DAYS[0], "--to", DAYS[-1], *place]


def test_a_killed_backfill_resumes_and_never_retrains(tiny_run: Pipeline, tmp_path: Path):
    pipeline = tiny_run.copy(tmp_path / "out")
    environment, quiet = pipeline.environment(), subprocess.DEVNULL
    process = subprocess.Popen(backfill(pipeline), cwd=ROOT, env=environment, stdout=quiet, stderr=quiet)
    deadline = time.monotonic() + 200
    while not (pipeline.table("candidate_sets", DAYS[0]) / "manifest.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = pipeline.run_ids()
    assert not (pipeline.table("candidate_sets", DAYS[-1]) / "manifest.json").exists(), "killed too late"
    done = subprocess.run(backfill(pipeline), cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    after = pipeline.run_ids()
    assert {name: after[name] for name in before} == before, "something finished was made again"
    assert all(len(pipeline.models(model)) == 1 for model in MODELS), "a model was trained again"
    for day in DAYS:
        assert (pipeline.table("candidate_sets", day) / "manifest.json").exists()
        counts = json.loads((pipeline.table("advertiser_predictions", day) / "manifest.json").read_text())
        assert 0 < counts["read_users"] < counts["users"], "users without a new event were read again, or nobody was"
        assert counts["read_tokens"] < counts["tokens"]


def test_a_retraining_makes_versions_that_the_next_day_uses(tiny_run: Pipeline, tmp_path: Path):
    """By the job that the schedule and the drift sensor ask for; earlier days keep their own model."""
    pipeline = tiny_run.copy(tmp_path / "out")
    done = pipeline.python(
        "import dagster as dg\n"
        "from orchestration.definitions import defs\n"
        "from orchestration.jobs import retrain_request\n"
        f"request = retrain_request('{DAYS[0]}', 'a test')\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    job = defs.resolve_job_def(request.job_name)\n"
        "    assert job.execute_in_process(instance=instance, tags=request.tags).success\n"
        "from datetime import date\n"
        "from orchestration import plan\n"
        "from orchestration.workspace import Workspace\n"
        f"for day in ('{DAY}', '{DAYS[1]}'):\n"
        "    print('USES', plan.model_version(Workspace(), 'advertiser_llm', date.fromisoformat(day)))\n"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    used = [line.split()[1][:10] for line in done.stdout.splitlines() if line.startswith("USES")]
    assert used == [DAY, DAYS[0]]
    for model in MODELS:
        assert [path.name[:10] for path in pipeline.models(model)] == [DAY, DAYS[0]], model
