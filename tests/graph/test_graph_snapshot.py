"""The asset graph as text: a change of it is a reviewable diff of graph.json.

python -m tests.graph.test_graph_snapshot    # writes graph.json anew
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.definitions import defs

SNAPSHOT = Path(__file__).parent / "graph.json"


def graph() -> dict[str, Any]:
    """Key, deps, group, kinds, owners, checks, partitions and automation of every asset."""
    resolved = defs.resolve_asset_graph()
    described = {}
    for key in sorted(resolved.get_all_asset_keys()):
        node = resolved.get(key)
        checks = sorted(
            f"{check.name}{' (blocking)' if resolved.get(check).blocking else ''}"
            for check in resolved.get_check_keys_for_assets({key})
        )
        described[key.to_user_string()] = {
            "deps": sorted(k.to_user_string() for k in node.parent_keys),
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": sorted(node.owners),
            "checks": checks,
            "partitions": type(node.partitions_def).__name__ if node.partitions_def else None,
            "automation": str(node.automation_condition) if node.automation_condition else None,
        }
    return described


def test_graph_is_as_reviewed():
    assert graph() == json.loads(SNAPSHOT.read_text()), (
        "if the change is meant: python -m tests.graph.test_graph_snapshot"
    )


def test_the_code_location_loads():
    """What `dagster dev` does first; a job and an op of one name, for instance, break only here."""
    jobs = {job.name for job in defs.get_repository_def().get_all_jobs()}
    assert {"ingest_raw_logs", "snapshot_day"} <= jobs


def test_dg_reads_the_project():
    """`dg dev` refuses the whole project over one misplaced table in pyproject.toml."""
    command = [str(Path(sys.executable).parent / "dg"), "check", "defs"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_asset_is_described_and_owned():
    resolved = defs.resolve_asset_graph()
    for key in resolved.get_all_asset_keys():
        assert resolved.get(key).description, f"{key} has no description"
        assert resolved.get(key).owners, f"{key} has no owner"


def test_graph_is_connected():
    resolved = defs.resolve_asset_graph()
    reached, todo = set(), [dg.AssetKey("report"), dg.AssetKey("drift_report")]
    while todo:
        key = todo.pop()
        if key not in reached:
            reached.add(key)
            todo += resolved.get(key).parent_keys
    assert reached == set(resolved.get_all_asset_keys()), "an asset leads neither to the report nor to the drift report"


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(graph(), indent=2) + "\n")
