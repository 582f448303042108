"""Typing `make run` again runs nothing twice; a second day reuses the models; a killed run goes on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

from mlflow import MlflowClient

from tests.pipeline.conftest import ROOT, Pipeline

MODELS = ("training_examples", "advertiser_llm", "past_predictions", "retrieval_model", "ranker")


def test_again_runs_nothing(tiny_run: Pipeline):
    before = tiny_run.run_ids()
    done = tiny_run.run()
    assert done.returncode == 0, done.stderr
    assert tiny_run.run_ids() == before
    assert done.stdout.count("not run again") == len(before) + 1, "every stage, and the raw logs"


def test_second_day_reuses_the_models(tiny_run: Pipeline, tmp_path: Path):
    second = tiny_run.copy(tmp_path / "out")
    done = second.run("--as-of", "2026-04-23")
    assert done.returncode == 0, done.stdout + done.stderr
    for model in MODELS:
        assert len(second.models(model)) == 1, f"{model} was made again"
    for table in ("user_contexts", "advertiser_predictions", "candidate_sets"):
        assert (second.table(table, "2026-04-23") / "manifest.json").exists()
    assert not second.table("report", "2026-04-23").exists(), "its outcomes are not known yet"
    assert "not all known yet" in done.stdout


def test_a_changed_setting_trains_again(tiny_run: Pipeline, changed_run: Pipeline):
    """The ranker's settings change the ranker and what is behind it, and nothing before it."""
    assert len(changed_run.models("ranker")) == 2 and len(changed_run.models("advertiser_llm")) == 1
    before, after = tiny_run.run_ids(), changed_run.run_ids()
    kept = [
        name for name in before if name.startswith(("models/advertiser_llm", "tables/user_contexts", "tables/cand"))
    ]
    assert len(kept) == 3 and all(after[name] == before[name] for name in kept)
    assert after["tables/report/2026-04-22"] != before["tables/report/2026-04-22"]


def test_killed_run_goes_on_where_it_was(tiny_run: Pipeline, tmp_path: Path):
    """kill -9 in the middle of the training; the next run resumes, and makes no finished stage again."""
    killed = tiny_run.copy(tmp_path / "out")
    for made in ("models/advertiser_llm", "models/past_predictions", "models/ranker", "tables/advertiser_predictions"):
        shutil.rmtree(killed.root / made)
    before = killed.run_ids()
    process = subprocess.Popen(
        killed.command(), cwd=ROOT, env=killed.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    begun = killed.root / "models" / "advertiser_llm"
    deadline = time.monotonic() + 120
    while not list(begun.glob(".*.work/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.models("advertiser_llm"), "killed too late to test anything"
    done = killed.run()
    assert done.returncode == 0, done.stdout + done.stderr
    after = killed.run_ids()
    for stage in ("models/training_examples", "models/retrieval_model", "tables/user_contexts"):
        mine = next(name for name in before if name.startswith(stage))
        assert after[mine] == before[mine], f"{stage} was run again"
    assert killed.models("advertiser_llm") and killed.models("ranker")
    states = killed.python(
        "import dagster as dg\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    print([run.status.value for run in instance.get_runs()])"
    ).stdout
    assert "STARTED" not in states and "CANCELED" in states, states
    tracked = MlflowClient(f"sqlite:///{killed.out}/mlflow.db")
    experiment = tracked.get_experiment_by_name("advertiser-llm").experiment_id
    runs = tracked.search_runs([experiment], order_by=["attributes.start_time DESC"])
    assert runs[0].info.status == "FINISHED" and "RUNNING" not in {run.info.status for run in runs}
    curve = json.loads((killed.models("advertiser_llm")[0] / "loss_curve.json").read_text())
    logged = tracked.get_metric_history(runs[0].info.run_id, "train/llm/loss")
    assert sorted(point.step for point in logged) == [entry["tokens"] for entry in curve if "loss" in entry]
