"""MLflow runs that do not simply finish: why is written on them, and no killed one runs for ever."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from typing import Any

import pytest

from ml.errors import BadInput
from orchestration import run_endings


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str, str]:
    """A client, an experiment and the address of a real store."""
    import mlflow

    where = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(where)
    client = mlflow.MlflowClient(where)
    yield client, client.create_experiment("ranker"), where
    mlflow.set_tracking_uri(before)


def mine() -> dict[str, str]:
    return {"adprior.host": platform.node(), "adprior.pid": str(os.getpid())}


def open_run(experiment: str) -> Any:
    import mlflow

    return mlflow.start_run(experiment_id=experiment, tags=mine())


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (BadInput("no ad", where="ads", remedy="deliver some"), "FAILED", "deliver some"),
        (ValueError("user u_42 searched for shoes"), "FAILED", "ValueError"),
        (KeyboardInterrupt(), "KILLED", "by hand"),
    ],
)
def test_a_run_says_why_it_ended(tracking: tuple[Any, str, str], error: BaseException, status: str, said: str) -> None:
    client, experiment, _ = tracking
    opened = open_run(experiment)
    with pytest.raises(type(error)), run_endings.reason(client, opened):
        raise error
    ended = client.get_run(opened.info.run_id)
    assert ended.info.status == status
    assert said in ended.data.tags[run_endings.REASON]
    assert "u_42" not in ended.data.tags[run_endings.REASON], "text of other errors may quote data"


def test_a_run_that_finishes_has_no_reason(tracking: tuple[Any, str, str]) -> None:
    client, experiment, _ = tracking
    opened = open_run(experiment)
    with run_endings.reason(client, opened):
        pass
    ended = client.get_run(opened.info.run_id)
    assert ended.info.status == "FINISHED" and run_endings.REASON not in ended.data.tags


def test_runs_of_killed_processes_end_and_those_of_living_ones_do_not(tracking: tuple[Any, str, str]) -> None:
    client, experiment, where = tracking
    code = f"""
import os, platform, time, mlflow
mlflow.set_tracking_uri({where!r})
tags = {{"adprior.host": platform.node(), "adprior.pid": str(os.getpid())}}
print(mlflow.start_run(experiment_id={experiment!r}, tags=tags).info.run_id, flush=True)
time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    killed = child.stdout.readline().strip()
    alive = client.create_run(experiment, tags=mine()).info.run_id
    elsewhere = client.create_run(experiment, tags=mine() | {"adprior.host": "another", "adprior.pid": "1"}).info.run_id
    reused = client.create_run(experiment, tags=mine(), start_time=1).info.run_id  # long before this process began
    run_endings.close_abandoned(client, experiment)
    assert client.get_run(killed).info.status == "RUNNING", "its process lives"
    child.send_signal(signal.SIGKILL)
    child.wait()
    run_endings.close_abandoned(client, experiment)
    states = {run: client.get_run(run).info.status for run in (killed, alive, elsewhere, reused)}
    assert states == {killed: "KILLED", alive: "RUNNING", elsewhere: "RUNNING", reused: "KILLED"}
    assert "killed" in client.get_run(killed).data.tags[run_endings.REASON]
