"""Ctrl-C: one line and exit code 130 wherever it lands, and the same command goes on where it was."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.conftest import ROOT, Pipeline

STOPPED = "stopped; type the same command again to go on where it was"


def interrupted(
    pipeline: Pipeline, command: list[str], when: Callable[[str], bool]
) -> subprocess.CompletedProcess[str]:
    """Run a command and send SIGINT once `when` (given what it has printed) is true; what it said, and how it ended."""
    log = pipeline.out.parent / "stdout"
    with log.open("w") as stdout:
        process = subprocess.Popen(
            command, cwd=ROOT, env=pipeline.environment(), stdout=stdout, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 120
        while not when(log.read_text()) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None, f"ended before it could be stopped: {log.read_text()}"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, log.read_text(), stderr)


@pytest.fixture(scope="module")
def again(tiny_run: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A copy of the tiny run without its LLM, and whose lake does not know what it has taken in."""
    pipeline = tiny_run.copy(tmp_path_factory.mktemp("interrupted") / "out")
    shutil.rmtree(pipeline.root / "models" / "advertiser_llm")
    (pipeline.root / "lake" / "ingested.json").unlink()
    return pipeline


def test_ctrl_c_in_several_stages_and_the_run_after_it(again: Pipeline):
    before = again.run_ids()
    llm = again.root / "models" / "advertiser_llm"
    moments: dict[str, Callable[[str], bool]] = {
        "starting": lambda said: "Adprior" in said,
        "checks of the raw logs": lambda said: bool(re.search("✓ raw_logs", said)),
        "training": lambda said: bool(list(llm.glob(".*.work/*"))),
    }
    for moment, when in moments.items():
        done = interrupted(again, again.command(), when)
        assert (done.returncode, done.stderr.strip()) == (130, STOPPED), moment
        assert "Traceback" not in done.stdout, moment
    assert not again.models("advertiser_llm"), "stopped too late to test anything"
    done = again.run()
    assert done.returncode == 0, done.stdout + done.stderr
    after = again.run_ids()
    made = {name for name in after if after[name] != before.get(name)}
    assert made == {name for name in after if name.startswith("models/advertiser_llm")}, (
        "a finished stage was made again"
    )
    states = again.python(
        "import dagster as dg\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    print([run.status.value for run in instance.get_runs()])"
    ).stdout
    assert "STARTED" not in states, states


def test_ctrl_c_while_looking_leaves_one_line(tiny_run: Pipeline):
    command = [*tiny_run.command()[:1], "explain", "--sample", "--profile", "tiny", "--out", str(tiny_run.out)]
    began = time.monotonic()
    done = interrupted(tiny_run, command, lambda said: time.monotonic() - began > 0.7)
    assert (done.returncode, done.stderr.strip()) == (130, "stopped")


def test_a_second_run_says_who_is_at_work(tiny_run: Pipeline, tmp_path: Path):
    other = tiny_run.copy(tmp_path / "out")
    (other.root / "lake" / "ingested.json").unlink()
    first = subprocess.Popen(other.command(), cwd=ROOT, env=other.environment(), stdout=subprocess.PIPE, text=True)
    assert first.stdout and "Adprior" in first.stdout.readline()
    second = other.run()
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode == 130
    assert second.returncode == 1 and f"adprior run, pid {first.pid}, since" in second.stderr
