"""Scenarios: before their day the bytes of the quiet world, from it on what they promise."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ml.artifacts import MANIFEST
from ml.world.credit import LATEST
from ml.world.newcomers import SHARE
from ml.world.scenarios import SCENARIOS, derangement
from ml.world.settings import WorldSettings
from ml.world.shard import Shard, catalogue_of
from ml.world.simulator import simulate

SHORT = WorldSettings(users=150, advertisers=20, ads=60, days=8, outcome_days=2, warm_up_days=6)
UPSET_DAY = 5
SHOWS_IN = {
    "interest_upset": "activity",
    "sudden_trend": "activity",
    "new_advertisers": "impressions",
    "slow_conversions": "conversions",
    "broken_column": "activity",
}
"""The table that shows each scenario from its first day on."""


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
    after = [day for day in quiet if day >= first]
    assert all(quiet[day][SHOWS_IN[scenario]] != upset[day][SHOWS_IN[scenario]] for day in after)


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


def test_a_sudden_trend_is_one_thing_that_everybody_wants() -> None:
    settings = WorldSettings(users=3_000, advertisers=60, ads=100, scenario="sudden_trend", scenario_day=UPSET_DAY)
    shard = Shard(settings.model_copy(update={"shard_users": 3_000}), 3, 0, catalogue_of(settings, 3))
    means = []
    for day in range(UPSET_DAY - 1, UPSET_DAY + 1):
        shard.wake(day)
        means.append(shard.population.interest.mean(axis=0))
    before, after = means
    grown = after / before
    assert (grown > 2).sum() == 1 and after[grown.argmax()] < 0.6
    assert np.delete(grown, grown.argmax()).max() < 1.1


def test_a_wave_of_new_advertisers_enters_and_is_seen_at_once(worlds: dict[str, Path]) -> None:
    root = worlds["new_advertisers"]
    register = ds.dataset(root / "advertisers", partitioning="hive").to_table().to_pandas()
    first = SHORT.first_day + timedelta(days=UPSET_DAY)
    new = register[register["advertiser_id"].isin([f"adv{i:03d}" for i in range(SHORT.advertisers, 200)])]
    assert len(new) == round(SHARE * SHORT.advertisers) and register["name"].is_unique
    assert new["active_from"].between(first, first + timedelta(days=2)).all()
    ads = ds.dataset(root / "ads", partitioning="hive").to_table().to_pandas()
    shown = ds.dataset(root / "impressions", partitioning="hive").to_table().to_pandas().merge(ads, on="ad_id")
    theirs = shown["advertiser_id"].isin(new["advertiser_id"])
    days = shown["event_time"].dt.date
    assert not theirs[days < first].any()
    assert theirs[days >= first + timedelta(days=2)].mean() > 0.03


def test_slow_conversions_are_the_same_ones_and_known_later(worlds: dict[str, Path]) -> None:
    def of(name: str) -> pd.DataFrame:
        rows = ds.dataset(worlds[name] / "conversions", partitioning="hive").to_table().to_pandas()
        rows = rows[rows["event_time"] >= pd.Timestamp(SHORT.first_day + timedelta(days=UPSET_DAY))]
        return rows.set_index(["user_id", "advertiser_id", "event_time"])[["known_at", "value"]]

    both = of("none").join(of("slow_conversions"), rsuffix="_slow", how="inner")
    event = both.index.get_level_values("event_time")
    quiet, slow = both["known_at"] - event, both["known_at_slow"] - event
    assert len(both) > 20 and (both["value"] == both["value_slow"]).all()
    assert np.allclose(slow.dt.total_seconds(), np.minimum(3 * quiet.dt.total_seconds(), LATEST), atol=1)


@given(st.integers(2, 60), st.integers(0, 2**32))
def test_a_derangement_moves_everything(n: int, seed: int) -> None:
    found = derangement(n, np.random.default_rng(seed))
    assert sorted(found) == list(range(n))
    assert (found != np.arange(n)).all()


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(ValidationError, match="interest_upset"):
        WorldSettings(scenario="flood")  # type: ignore[arg-type]
