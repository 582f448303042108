"""`adprior check` as a user meets it: exit codes, what it prints on any terminal, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import date
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from ml.sources.check import check
from ml.sources.contract_logs import ContractLogs
from ml.sources.inspection.estimate import Estimate
from orchestration.check_command import plan_of
from orchestration.check_page import print_report
from orchestration.settings import Settings
from tests.unit.sources.sources_good_log import FAULTS, PLAN, write_good

ROOT = Path(__file__).parent.parent.parent


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    (tmp_path / "tmp").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADPRIOR_")}
    environment |= {"TMPDIR": str(tmp_path / "tmp"), "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from orchestration.cli import app; app()", "check"]
    return subprocess.Popen(
        [*command, "--out", str(tmp_path / "out"), *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_behind(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "tmp").iterdir()] + ["out"] * (tmp_path / "out").exists()


def test_a_good_log_gives_0_and_leaves_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, "--source", "purchases")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "It may run" in said and "Expected time" in said and "sampled negatives" in said
    assert left_behind(tmp_path) == []


def test_a_bad_log_gives_1_with_every_problem(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    process = start(tmp_path, "--source", "purchases", "--data", str(tmp_path / "logs"))
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert "events.parquet" in said and "items.parquet" in said and "2 problems" in said
    assert "Traceback" not in said
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "--profile", "small")  # simulates a world of 3,000 users, which takes a while
    waited = time.monotonic()
    while not any((tmp_path / "tmp").glob("adprior-check-*/*")) and time.monotonic() - waited < 60:
        time.sleep(0.1)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("width", [40, 60, 100, 160])
@pytest.mark.parametrize("faults", [[], sorted(FAULTS)])
def test_it_fits_the_terminal(tmp_path: Path, width: int, faults: list[str]) -> None:
    plan = PLAN
    write_good(tmp_path / "logs")
    for name in faults:
        plan = FAULTS[name].plant(tmp_path / "logs", plan) or plan
    report = check(ContractLogs(tmp_path / "logs", "good"), plan, tmp_path / "scratch")
    console = Console(file=StringIO(), width=width, force_terminal=False)
    print_report(console, report, Estimate(100.0, 9_000.0, {"advertiser_llm": 5_000.0}, "runs"))
    assert isinstance(console.file, StringIO)
    said = console.file.getvalue()
    assert all(cell_len(line.rstrip()) <= width for line in said.splitlines())
    words = " ".join(said.split())
    for problem in report.problems if width >= 100 else []:
        assert problem.remedy.split(";")[0].split(",")[0][:60] in words
    assert "example.org" not in said


def test_a_world_may_lie_in_the_future_and_a_log_may_not() -> None:
    today = date(2026, 1, 1)
    assert plan_of(Settings(source="world"), today).today is None
    assert plan_of(Settings(source="purchases"), today).today == today
