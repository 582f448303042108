"""Same settings and seed, same bytes; published whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.artifacts import MANIFEST, read_manifest
from ml.world.clock import Chance, Stage
from ml.world.crew import Crew
from ml.world.settings import WorldSettings
from ml.world.simulator import simulate, world_fingerprint

SHORT = WorldSettings(users=40, advertisers=20, ads=60, days=5, outcome_days=2, warm_up_days=6)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_same_seed_same_bytes_and_another_seed_other_ones(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("c", 4)):
        simulate(SHORT, seed, tmp_path / name)
    elsewhere = f"""
from pathlib import Path
from ml.world.settings import WorldSettings
from ml.world.simulator import simulate
simulate(WorldSettings.model_validate_json({SHORT.model_dump_json()!r}), 3, Path({str(tmp_path / "b")!r}))
"""
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", elsewhere], check=True, env=environment)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    logs = [name for name in a if name.split("/")[0] in ("activity", "impressions", "conversions", "users")]
    assert logs and all(a[name] != c.get(name) for name in logs)


def test_one_process_and_three_give_the_same_bytes(tmp_path: Path) -> None:
    """Five shards, budgets that bind, on one process and spread over three."""
    sharded = SHORT.model_copy(update={"users": 180, "shard_users": 40})
    for processes in (1, 3):
        simulate(sharded.model_copy(update={"processes": processes}), 3, tmp_path / str(processes))
    one, three = contents(tmp_path / "1"), contents(tmp_path / "3")
    assert one == three
    parts = {Path(name).name for name in one if name.startswith("impressions/")}
    assert parts == {f"part-{shard}.parquet" for shard in range(5)}


def test_a_process_that_fails_ends_the_simulation_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with (
        Crew(SHORT.model_copy(update={"shard_users": 20}), 3, tmp_path / "file", processes=2) as crew,
        pytest.raises(NotADirectoryError),
    ):
        crew.day(0)


def test_a_killed_simulation_leaves_nothing_to_read_and_can_be_repeated(tmp_path: Path) -> None:
    class Killed(RuntimeError):
        pass

    def kill(done: int, total: int, unit: str) -> None:
        assert (total, unit) == (7, "days")
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        simulate(SHORT, 3, tmp_path / "killed", kill)
    assert read_manifest(tmp_path / "killed") is None
    simulate(SHORT, 3, tmp_path / "killed")
    simulate(SHORT, 3, tmp_path / "whole")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_the_manifest_tells_what_was_simulated_and_lists_every_file(tiny: WorldSettings, world: Path) -> None:
    manifest = json.loads((world / MANIFEST).read_text())
    assert manifest["fingerprint"] == world_fingerprint(tiny, 7)
    assert manifest["fingerprint"] != world_fingerprint(tiny, 8)
    assert WorldSettings(**manifest["settings"]) == tiny
    assert set(manifest["files"]) == set(contents(world)) - {MANIFEST}


@given(st.sampled_from(list(Stage)), st.integers(-90, 400), st.sampled_from(list(Stage)), st.integers(-90, 400))
def test_stages_and_days_draw_independently(a: Stage, day_a: int, b: Stage, day_b: int) -> None:
    first, second = (Chance(5).of(*key).integers(0, 2**60) for key in ((a, day_a), (b, day_b)))
    assert (first == second) == ((a, day_a) == (b, day_b))


def test_a_world_without_an_ad_for_everybody_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"ads \(30\) must be at least advertisers \(40\)"):
        WorldSettings(advertisers=40, ads=30)
