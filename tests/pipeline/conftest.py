"""One tiny run of the whole pipeline, shared by every test that needs one; tests that change it take a copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
DAY = "2026-04-22"


@dataclass
class Pipeline:
    """An OUT directory with a workspace of profile tiny in it, and settings of its runs (`ADPRIOR_...`, `AWS_...`)."""

    out: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.out / f"{self.settings.get('ADPRIOR_SOURCE', 'world')}-tiny"

    @property
    def published(self) -> Path:
        """Local directory with tables/ and models/: copies, if the lake lies on S3."""
        return self.root / "cache" if "ADPRIOR_LAKE" in self.settings else self.root

    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ADPRIOR_", "DAGSTER_", "MLFLOW_"))}
        here = {"ADPRIOR_PROFILE": "tiny", "ADPRIOR_OUT": str(self.out), "DAGSTER_HOME": str(self.root / "dagster")}
        return {**clean, **here, "COLUMNS": "200", **self.settings}

    def command(self, *arguments: str) -> list[str]:
        return [
            str(Path(sys.executable).parent / "adprior"),
            "run",
            "--profile",
            "tiny",
            "--out",
            str(self.out),
            *arguments,
        ]

    def run(self, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """Run the pipeline, with `changed` settings in the environment."""
        environment = {**self.environment(), **changed}
        return subprocess.run(
            self.command(*arguments), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run code in a new process that sees this workspace."""
        return subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False
        )

    def table(self, asset: str, day: str = DAY) -> Path:
        return self.published / "tables" / asset / day

    def models(self, asset: str) -> list[Path]:
        return sorted(
            path for path in (self.published / "models" / asset).glob("[0-9]*") if (path / "manifest.json").exists()
        )

    def run_ids(self) -> dict[str, str]:
        """Dagster run that published each stage."""
        place = self.published
        manifests = [*place.glob("tables/*/*/manifest.json"), *place.glob("models/*/*/manifest.json")]
        return {str(p.parent.relative_to(place)): json.loads(p.read_text())["dagster_run_id"] for p in manifests}

    def report(self, day: str = DAY) -> dict[str, Any]:
        return json.loads((self.table("report", day) / "report.json").read_text())

    def copy(self, to: Path) -> Pipeline:
        shutil.copytree(self.out, to)
        return Pipeline(to, self.settings)


class Adprior:
    """`adprior` in this process, on one pipeline's workspace; the fixture undoes what it sets in the environment."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def __call__(self, *arguments: str, width: int = 120) -> Result:
        from orchestration.cli import app
        from orchestration.settings import load_settings

        load_settings.cache_clear()
        place = {"ADPRIOR_OUT": str(self.pipeline.out), "COLUMNS": str(width), "TERM": "dumb"}
        return CliRunner().invoke(app, list(arguments), env=place)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    pipeline = Pipeline(tmp_path_factory.mktemp("tiny") / "out")
    done = pipeline.run()
    assert done.returncode == 0, done.stdout + done.stderr
    pipeline.stdout = done.stdout  # type: ignore[attr-defined]
    return pipeline


@pytest.fixture
def adprior(tiny_run: Pipeline) -> Iterator[Adprior]:
    """The command line on the shared tiny run."""
    from orchestration.settings import load_settings

    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("ADPRIOR_", "DAGSTER_"))]:
        del os.environ[name]
    yield Adprior(tiny_run)
    os.environ.clear()
    os.environ.update(before)
    load_settings.cache_clear()


@pytest.fixture(scope="session")
def changed_run(tiny_run: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A copy of the tiny run, run again with another depth of the ranker's trees."""
    changed = tiny_run.copy(tmp_path_factory.mktemp("changed") / "out")
    done = changed.run(ADPRIOR_RANKER__MAX_DEPTH="3")
    assert done.returncode == 0, done.stdout + done.stderr
    return changed
