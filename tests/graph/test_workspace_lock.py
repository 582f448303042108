"""Two processes on one workspace: the second one learns who is at work, and nothing is left behind by a dead one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from ml.errors import BadInput
from orchestration.resources import WorkspaceResource
from orchestration.workspace_lock import FILE, writing

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from pathlib import Path
from orchestration.workspace_lock import writing
with writing(Path(sys.argv[1]), "adprior run"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock of tmp_path."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_one_learns_who_is_at_work(tmp_path: Path, holder):
    with pytest.raises(BadInput, match=f"adprior run, pid {holder.pid}, since 20") as refused, writing(tmp_path, "me"):
        pass
    assert str(tmp_path) in str(refused.value) and "wait until it is done" in str(refused.value)
    with writing(tmp_path / "other workspace", "me"):
        pass


def test_a_killed_holder_leaves_no_lock(tmp_path: Path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with writing(tmp_path, "me"):
        assert f'"pid": {os.getpid()}' in (tmp_path / FILE).read_text()
    assert (tmp_path / FILE).read_text() == ""


def test_a_process_may_take_it_again(tmp_path: Path, holder_code=HOLD):
    with writing(tmp_path, "me"):
        with writing(tmp_path, "me, inside"):
            pass
        done = subprocess.run(
            [sys.executable, "-c", holder_code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert "another process works on this workspace: me, pid" in done.stderr, "given back too early"


def test_who_waits_says_so_once_and_gets_it(tmp_path: Path, holder):
    said: list[str] = []
    threading.Timer(2.5, holder.kill).start()
    began = time.monotonic()
    with writing(tmp_path, "me", wait=said.append):
        assert time.monotonic() - began > 2
    assert len(said) == 1 and f"waiting for adprior run, pid {holder.pid}" in said[0]


def test_a_dagster_run_holds_it_as_long_as_it_lasts(tmp_path: Path):
    held: list[str] = []

    @dg.op
    def work(workspace: WorkspaceResource):
        held.append((tmp_path / FILE).read_text())

    @dg.job(resource_defs={"workspace": WorkspaceResource(root=str(tmp_path))})
    def job():
        work()

    @dg.job(resource_defs={"workspace": WorkspaceResource(root=str(tmp_path))})
    def failing():
        @dg.op
        def fails(workspace: WorkspaceResource):
            raise ValueError

        fails()

    result = job.execute_in_process()
    assert f"Dagster run {result.run_id[:8]}" in held[0]
    assert not failing.execute_in_process(raise_on_error=False).success
    with writing(tmp_path, "me"):
        pass
    assert (tmp_path / FILE).read_text() == ""


def test_looking_from_a_sensor_takes_no_lock(tmp_path: Path, holder):
    seen: list[str] = []

    @dg.sensor(target=None)
    def looks(workspace: WorkspaceResource):
        seen.append(str(workspace.root))

    resource = WorkspaceResource(root=str(tmp_path))
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, resources={"workspace": resource}) as context,
    ):
        looks(context)
    assert seen == [str(tmp_path)]
