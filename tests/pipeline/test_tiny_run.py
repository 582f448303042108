"""The whole pipeline on the tiny profile, through Dagster, as `make run PROFILE=tiny` runs it."""

from __future__ import annotations

import json
import sqlite3

import pytest

from ml.predictors.registry import BASELINES
from orchestration.graph import NODES, RAW_TABLES
from tests.pipeline.conftest import DAY, Pipeline

SOURCES = {"llm", "placebo", *BASELINES}


def test_report_has_the_documented_keys(tiny_run: Pipeline):
    report = tiny_run.report()
    assert (report["profile"], report["source"], report["as_of"]) == ("tiny", "world", DAY)
    blends = set(report["predictors"]) - SOURCES
    assert len(blends) == 2 and all("+" in name for name in blends)
    assert any(name.startswith("llm+") for name in blends)
    assert set(report["predictor_costs"]) == SOURCES - {"placebo"}
    assert {"none", *SOURCES, *blends} == set(report["ranker"])
    assert {"conventional", "llm"} <= set(report["retrieval"])
    for source in SOURCES:
        for metric in ("recall@1", "recall@5", "recall@10", "recall@20", "new_recall@10"):
            figure = report["predictors"][source][metric]
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    assert report["seconds_total"] > 0 and report["peak_rss_mb"] > 100
    beside_the_report = {"report", "drift_reference", "drift_report"}
    assert {*NODES, "raw_logs"} - beside_the_report == set(report["stages"])


def test_a_quiet_world_has_no_drift(tiny_run: Pipeline):
    report = json.loads((tiny_run.table("drift_report") / "report.json").read_text())
    assert (report["input"], report["fault"]) == ("ok", "ok")
    assert report["reference_last"] < report["first"] and report["day"] == DAY


def test_recall_rises_with_k_and_with_knowledge(tiny_run: Pipeline):
    predictors = tiny_run.report()["predictors"]
    for source in SOURCES:
        values = [predictors[source][f"recall@{k}"]["value"] for k in (1, 5, 10, 20)]
        assert values == sorted(values)
    assert predictors["repeat_last"]["recall@1"]["value"] > predictors["popularity"]["recall@1"]["value"]
    assert predictors["repeat_last"]["recall@10"]["value"] > predictors["placebo"]["recall@10"]["value"]


def test_terminal_says_where_the_report_lies_and_what_to_do_next(tiny_run: Pipeline):
    said = tiny_run.stdout  # type: ignore[attr-defined]
    assert "report.html" in said and "make ui" in said
    for stage in NODES:
        assert stage in said


def test_every_asset_has_the_common_metadata_and_passed_its_checks(tiny_run: Pipeline):
    code = f"""
import json, dagster as dg
from orchestration.definitions import defs
from orchestration.runner import checks_passed
found = {{}}
with dg.DagsterInstance.get() as instance:
    for asset in {[*RAW_TABLES, *NODES]!r}:
        event = instance.get_latest_materialization_event(dg.AssetKey(asset))
        found[asset] = [sorted(event.asset_materialization.metadata), checks_passed(instance, defs, [asset])]
print(json.dumps(found))
"""
    done = tiny_run.python(code)
    assert done.returncode == 0, done.stderr
    for asset, (metadata, passed) in json.loads(done.stdout.splitlines()[-1]).items():
        assert {"rows", "as_of", "seconds", "input_fingerprint", "model_version"} <= set(metadata), asset
        assert passed, asset


def test_mlflow_and_dagster_runs_link_both_ways(tiny_run: Pipeline):
    with sqlite3.connect(tiny_run.out / "mlflow.db") as db:
        tags = db.execute("select run_uuid, key, value from tags where key like 'dagster.%'").fetchall()
    by_run: dict[str, dict[str, str]] = {}
    for run, key, value in tags:
        by_run.setdefault(run, {})[key] = value
    tracked = {tags["dagster.asset"]: run for run, tags in by_run.items()}
    assert {"advertiser_llm", "retrieval_model", "ranker", "evaluation"} == set(tracked)
    dagster_runs = set(tiny_run.run_ids().values())
    assert {tags["dagster.run_id"] for tags in by_run.values()} <= dagster_runs
    assert {tags["dagster.partition"] for tags in by_run.values()} == {DAY}
    code = """
import dagster as dg
with dg.DagsterInstance.get() as instance:
    for asset in ("advertiser_llm", "retrieval_model", "ranker", "evaluation", "report"):
        event = instance.get_latest_materialization_event(dg.AssetKey(asset))
        print(event.asset_materialization.metadata["mlflow_run"].url)
"""
    urls = tiny_run.python(code).stdout.split()
    shown = ("advertiser_llm", "retrieval_model", "ranker", "evaluation", "evaluation")  # the report lies on that run
    assert [url.rpartition("/")[2] for url in urls] == [tracked[asset] for asset in shown]


def test_no_personal_text_reaches_metadata(tiny_run: Pipeline):
    """No word of a search, and no URL of the logs, in anything Dagster or MLflow keep."""
    urls = b"https://example.com/"
    stores = [*tiny_run.root.glob("dagster/**/*.db"), tiny_run.out / "mlflow.db"]
    assert len(stores) > 2
    for store in stores:
        assert urls not in store.read_bytes(), store
    for page in tiny_run.table("report").glob("report.*"):
        assert urls not in page.read_bytes()


@pytest.mark.parametrize("asset", ["user_contexts", "advertiser_predictions"])
def test_withdrawn_users_are_nowhere(tiny_run: Pipeline, asset: str):
    code = f"""
import json
from datetime import date
from pathlib import Path
import duckdb
from orchestration.workspace import Workspace
day = date.fromisoformat({DAY!r})
with Workspace().lake.connect(as_of=day) as con:
    refused = {{row[0] for row in con.execute("SELECT user_id FROM users WHERE NOT consent").fetchall()}}
files = str(Workspace().table({asset!r}, day)) + "/**/*.parquet"
query = f"SELECT DISTINCT user_id FROM read_parquet('{{files}}', union_by_name=true)"
found = {{row[0] for row in duckdb.sql(query).fetchall()}}
print(json.dumps([len(refused), len(found), sorted(refused & found)]))
"""
    done = tiny_run.python(code)
    refused, found, both = json.loads(done.stdout.splitlines()[-1])
    assert refused > 0 and found > 0
    assert both == []
