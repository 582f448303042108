"""A corrupted day stops the run before anything downstream, and says threshold, observed value and examples."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.conftest import DAY, Adprior, Pipeline


@pytest.fixture(scope="module")
def corrupted(tiny_run: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Half of one day's activity has lost its user (a broken upstream join), and `make run` was typed."""
    pipeline = tiny_run.copy(tmp_path_factory.mktemp("corrupted") / "out")
    path = pipeline.root / "landing" / "activity" / f"date={DAY}" / "part-0.parquet"
    rows = pq.read_table(path)
    users = [None if i % 2 else user for i, user in enumerate(rows["user_id"].to_pylist())]
    position = rows.schema.get_field_index("user_id")
    pq.write_table(rows.set_column(position, "user_id", pa.array(users, pa.string())), path)
    pipeline.done = pipeline.run()  # type: ignore[attr-defined]
    return pipeline


def test_make_run_stops_with_the_reason(tiny_run: Pipeline, corrupted: Pipeline):
    done = corrupted.done  # type: ignore[attr-defined]
    assert done.returncode == 1
    said = done.stderr
    assert "check volume on activity failed" in said
    assert "quarantined_share" in said and "at most 0.02" in said, "threshold"
    assert "such as 0." in said, "observed value"
    assert "user_id: missing" in said and DAY in said, "example rows with their reason and day"
    assert corrupted.run_ids() == tiny_run.run_ids(), "something downstream was run"


def test_runs_says_what_failed_and_why(corrupted: Pipeline, adprior: Adprior):
    said = Adprior(corrupted)("runs", "--limit", "1", "--json").stdout
    (run,) = json.loads(said)
    assert run["status"] == "FAILURE" and run["reason"].startswith("check volume on activity: ")
    assert "quarantined_share" in run["reason"] and "\n" not in run["reason"]


def test_dagster_skips_everything_downstream(corrupted: Pipeline):
    """In one Dagster run of raw tables and contexts, the blocking check keeps the contexts from running."""
    code = f"""
import json, dagster as dg
from orchestration.definitions import defs
from orchestration.graph import RAW_TABLES
job = defs.resolve_implicit_global_asset_job_def()
with dg.DagsterInstance.get() as instance:
    result = job.execute_in_process(
        instance=instance, partition_key={DAY!r}, raise_on_error=False,
        asset_selection=[dg.AssetKey(name) for name in (*RAW_TABLES, "user_contexts", "training_examples")],
    )
made = [event.asset_key.to_user_string() for event in result.get_asset_materialization_events()]
failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
print(json.dumps([result.success, made, failed]))
"""
    done = corrupted.python(code)
    success, made, failed = json.loads(done.stdout.splitlines()[-1])
    assert not success and failed == ["volume"]
    assert "activity" in made
    assert "user_contexts" not in made and "training_examples" not in made


def test_quarantine_keeps_every_row(corrupted: Pipeline):
    day = f"date={DAY}/part-0.parquet"
    delivered = pq.read_table(corrupted.root / "landing" / "activity" / day).num_rows
    kept = pq.read_table(corrupted.root / "lake" / "activity" / day).num_rows
    refused = pq.read_table(corrupted.root / "quarantine" / "activity" / day)
    assert kept + refused.num_rows == delivered
    assert set(refused["reason"].to_pylist()) == {"user_id: missing"}
