"""kill -9 every few seconds, all the way through: what was published stays, and the last run finishes the rest."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.pipeline.conftest import ROOT, Pipeline


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_killed_again_and_again_finishes(tmp_path: Path):
    pipeline = Pipeline(tmp_path / "out")
    published: dict[str, str] = {}
    kills = 0
    for patience in range(5, 60, 3):
        process = subprocess.Popen(
            pipeline.command(),
            cwd=ROOT,
            env=pipeline.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            finished = process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        else:
            assert finished == 0
            break
        now = pipeline.run_ids()
        assert {name: now.get(name) for name in published} == published, "a finished stage was made again"
        published = now
    assert kills >= 2, "the machine is so fast that nothing was killed: start with less patience"
    done = pipeline.run()
    assert done.returncode == 0, done.stdout + done.stderr
    after = pipeline.run_ids()
    assert {name: after[name] for name in published} == published
    assert pipeline.report()["predictors"]["llm"]
