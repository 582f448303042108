"""The whole pipeline with its logs, its lake and all it publishes on S3: the same figures, and nothing of it under OUT.

The logs are those of the simulated world as a user's own (SOURCE=parquet): partitions of local days under another
key, times on a local clock, read by a mapping.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orchestration.graph import NODES, RAW_TABLES
from tests.pipeline.conftest import DAY, Pipeline
from tests.s3 import S3Server
from tests.unit.sources.sources_layouts import HIVE, views

LEFT_LOCAL = {"cache", "dagster", "landing"}
VOLATILE = {
    *("source", "created", "git_commit", "machine", "peak_rss_mb", "seconds_total", "stages", "checks"),
    "predictor_costs",
}
"""Keys of report.json that say when and where a run was, not what it found."""


def on_s3(s3: S3Server, out: Path, **settings: str) -> Pipeline:
    """A pipeline with its lake in a new bucket; `settings` may name a source, and data on S3 as well."""
    return Pipeline(out, {**s3.environment(), "ADPRIOR_LAKE": f"{s3.bucket()}/team ads/", **settings})


@pytest.fixture(scope="module")
def own_logs(tiny_run: Pipeline, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The logs of `tiny_run` on S3 in another layout: settings that name them."""
    root, url = tmp_path_factory.mktemp("own"), f"{s3_server.bucket()}/raw logs"
    with views(tiny_run.root / "landing") as con:
        HIVE.write(con, root / "logs")
        first, last = con.execute("SELECT min(_day), max(_day) FROM conversions").fetchall()[0]
    s3_server.put_directory(root / "logs", url)
    stated = {"name": "mine", "consent": "column", "time_zone": HIVE.time_zone, "first_day": first, "last_day": last}
    (root / "mapping.yaml").write_text(yaml.safe_dump({**stated, **HIVE.tables}))
    named = {"SOURCE": "parquet", "DATA": url, "MAPPING": str(root / "mapping.yaml")}
    return {f"ADPRIOR_{name}": value for name, value in named.items()}


@pytest.fixture(scope="module")
def s3_run(s3_server: S3Server, own_logs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    pipeline = on_s3(s3_server, tmp_path_factory.mktemp("s3") / "out", **own_logs)
    done = pipeline.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return pipeline


def figures(pipeline: Pipeline) -> dict:
    report = pipeline.report()
    del report["llm"]["cpu_seconds"]
    return {key: value for key, value in report.items() if key not in VOLATILE}


def test_figures_are_those_of_a_local_lake(tiny_run: Pipeline, s3_run: Pipeline):
    assert figures(s3_run) == figures(tiny_run)
    assert [check["passed"] for check in s3_run.report()["checks"]] == [
        c["passed"] for c in tiny_run.report()["checks"]
    ]


def test_everything_published_lies_on_s3_and_nothing_of_the_lake_under_out(s3_server: S3Server, s3_run: Pipeline):
    keys = s3_server.keys(s3_run.settings["ADPRIOR_LAKE"] + "parquet-tiny")
    assert {f"lake/{table}/date={DAY}/part-0.parquet" for table in RAW_TABLES} | {"lake/ingested.json"} <= set(keys)
    for asset, node in NODES.items():
        where = f"{'models' if node.kind == 'model' else 'tables'}/{asset}/"
        assert sum(key.startswith(where) and key.count("/") == 3 and key.endswith("manifest.json") for key in keys) == 1
    assert {path.name for path in s3_run.root.iterdir() if path.is_dir()} <= LEFT_LOCAL
    assert not list(s3_run.out.rglob("ingested.json"))
    assert not [path for path in s3_run.out.rglob("date=*") if "landing" not in path.parts]


def test_no_key_of_the_server_is_written_anywhere(s3_run: Pipeline):
    secret = s3_run.settings["AWS_SECRET_ACCESS_KEY"].encode()
    for path in (path for path in s3_run.out.rglob("*") if path.is_file()):
        assert secret not in path.read_bytes(), path


def test_again_runs_nothing(s3_run: Pipeline):
    before = s3_run.run_ids()
    done = s3_run.run()
    assert done.returncode == 0, done.stderr
    assert s3_run.run_ids() == before
    assert done.stdout.count("not run again") == len(NODES) + 1


def test_another_machine_sees_every_stage_finished(s3_run: Pipeline, tmp_path: Path):
    """Another OUT with the same lake: nothing but what is asked for is fetched."""
    other = replace(s3_run, out=tmp_path / "out")
    code = f"""
import json
from datetime import date
from orchestration import ingested, plan
from orchestration.graph import NODES
from orchestration.workspace import Workspace
space, day = Workspace(), date.fromisoformat({DAY!r})
report = json.loads((space.local("report", day) / "report.json").read_text())
print(json.dumps([[name for name in NODES if not plan.published(space, name, day)], report["as_of"],
                  ingested.counts(space, space.source.window()) is not None]))
"""
    done = other.python(code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[], DAY, True]
    assert [path.name for path in (other.published / "tables").iterdir()] == ["report"]


@pytest.mark.slow
def test_another_machine_takes_the_results_over(s3_run: Pipeline, tmp_path: Path):
    other = replace(s3_run, out=tmp_path / "out")
    done = other.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("not run again") == len(NODES) + 1
    assert other.run_ids().items() <= s3_run.run_ids().items(), "what is fetched is what the first machine made"
    assert figures(other) == figures(s3_run)


def test_a_missing_bucket_is_one_error_before_anything_is_done(s3_server: S3Server, tmp_path: Path):
    pipeline = on_s3(s3_server, tmp_path / "out", ADPRIOR_LAKE="s3://no-such-bucket/ads")
    done = pipeline.run()
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("error:") == 1 and "no such bucket" in done.stderr
    assert "s3://no-such-bucket/ads/world-tiny" in done.stderr and "remedy:" in done.stderr
    assert not (pipeline.root / "landing").exists()


def test_a_wrong_key_is_one_error_before_anything_is_done(s3_server: S3Server, tmp_path: Path):
    pipeline = on_s3(s3_server, tmp_path / "out")
    with s3_server.keys_required():
        done = pipeline.run()
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("error:") == 1 and "S3 refused access" in done.stderr
    assert "AWS_ACCESS_KEY_ID" in done.stderr and pipeline.settings["AWS_SECRET_ACCESS_KEY"] not in done.stderr
    assert not (pipeline.root / "landing").exists()
