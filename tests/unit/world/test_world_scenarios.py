"""Scenarios: before their day the bytes of the quiet world, from it on what they promise."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.artifacts import MANIFEST
from ml.world.scenarios import SCENARIOS, derangement
from ml.world.settings import WorldSettings
from ml.world.simulator import simulate

SHORT = WorldSettings(users=150, advertisers=20, ads=60, days=8, outcome_days=2, warm_up_days=6)
UPSET_DAY = 5


def by_day(root: Path) -> dict[date, dict[str, bytes]]:
    found: dict[date, dict[str, bytes]] = {}
    for path in sorted(root.glob("*/date=*/part-0.parquet")):
        day = date.fromisoformat(path.parent.name.removeprefix("date="))
        found.setdefault(day, {})[path.parts[-3]] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("scenarios")
    for name in SCENARIOS:
        settings = SHORT.model_copy(update={"scenario": name, "scenario_day": UPSET_DAY})
        simulate(settings, 3, root / name)
    return {name: root / name for name in SCENARIOS}


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "none"])
def test_days_before_are_those_of_the_quiet_world(worlds: dict[str, Path], scenario: str) -> None:
    quiet, upset = by_day(worlds["none"]), by_day(worlds[scenario])
    first = SHORT.first_day + timedelta(days=UPSET_DAY)
    before = [day for day in quiet if day < first]
    assert len(before) == UPSET_DAY
    assert all(quiet[day] == upset[day] for day in before)
    assert all(quiet[day]["activity"] != upset[day]["activity"] for day in quiet if day >= first)


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_same_seed_same_bytes(worlds: dict[str, Path], scenario: str, tmp_path: Path) -> None:
    settings = SHORT.model_copy(update={"scenario": scenario, "scenario_day": UPSET_DAY})
    simulate(settings, 3, tmp_path / "again")
    assert by_day(tmp_path / "again") == by_day(worlds[scenario])
    assert (tmp_path / "again" / MANIFEST).read_text() == (worlds[scenario] / MANIFEST).read_text()


def test_a_broken_column_breaks_only_that_column(worlds: dict[str, Path]) -> None:
    day = f"activity/date={SHORT.first_day + timedelta(days=UPSET_DAY)}/part-0.parquet"
    quiet, broken = pq.read_table(worlds["none"] / day), pq.read_table(worlds["broken_column"] / day)
    assert broken.drop_columns(["advertiser_id"]).equals(quiet.drop_columns(["advertiser_id"]))
    named = [value for value in broken["advertiser_id"].to_pylist() if value]
    assert named and all(value.startswith("ADV-") for value in named)
    assert broken["advertiser_id"].null_count == quiet["advertiser_id"].null_count


@given(st.integers(2, 60), st.integers(0, 2**32))
def test_a_derangement_moves_everything(n: int, seed: int) -> None:
    found = derangement(n, np.random.default_rng(seed))
    assert sorted(found) == list(range(n))
    assert (found != np.arange(n)).all()


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(ValidationError, match="interest_upset"):
        WorldSettings(scenario="flood")  # type: ignore[arg-type]
