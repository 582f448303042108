"""benchmarks/amazon14: its folds are what the protocol says, told again in plain pandas, on a made-up log."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.amazon14 import TEST, VALIDATION, read_fold

SEED = 3


def purchases() -> pd.DataFrame:
    """Purchases of 120 users; brands b00.. are ever rarer (the last have too few users), some items have none."""
    rng = np.random.default_rng(SEED)
    n = 1500
    share = 0.75 ** np.arange(16)
    number = rng.choice(16, size=n, p=share / share.sum())
    log = pd.DataFrame(
        {
            "user_id": [f"u{i:03d}" for i in rng.integers(120, size=n)],
            "event_date": pd.Timestamp(TEST) + pd.to_timedelta(rng.integers(-300, 120, size=n), unit="D"),
            "item_id": [f"i{i:02d}" for i in number],
            "brand": [f"Brand {i:02d}" if i != 2 else None for i in number],
            "domain": "beauty",
        }
    ).sort_values(["user_id", "event_date"], kind="stable", ignore_index=True)
    log["seq"] = log.groupby("user_id").cumcount()
    return log.assign(event_date=log["event_date"].dt.date)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory, log = tmp_path_factory.mktemp("amazon14"), purchases()
    log.to_parquet(directory / "events.parquet", index=False)
    items = log.drop_duplicates("item_id")[["item_id", "domain", "brand"]].assign(categories=[["Beauty", "Face"]] * 16)
    items.to_parquet(directory / "items.parquet", index=False)
    return directory


@pytest.mark.parametrize("day", [VALIDATION, TEST])
def test_a_fold_is_what_the_protocol_says(data: Path, day) -> None:  # type: ignore[no-untyped-def]
    log = purchases()
    past = log[log["event_date"] <= day]
    users_of = past.dropna(subset="brand").groupby("brand")["user_id"].nunique()
    brands = users_of[users_of >= 20].index
    past = past[past["brand"].isin(brands)]
    able = past["user_id"].value_counts().loc[lambda count: count >= 3].index
    window = log[(log["event_date"] > day) & (log["event_date"] <= day + timedelta(days=91))]
    target = window[window["brand"].isin(brands) & window["user_id"].isin(able)].groupby("user_id")["brand"].first()
    assert 5 < len(brands) < 15 and 20 < len(target) < 120, "the made-up log is of use"

    for _ in range(2):  # made, then read from the cache
        fold = read_fold(data, day, data / "cache")
        name = fold.examples.catalogue.set_index("advertiser_id")["name"]
        found = pd.Series(name.loc[fold.labels["advertiser_id"]].to_numpy(), fold.labels["user_id"])
        assert found.to_dict() == target.to_dict()
        assert list(fold.contexts.user_ids) == list(fold.labels["user_id"])
        assert sorted(name) == sorted(brands)
        assert set(fold.examples.contexts.user_ids) == set(able)
        pairs = set(zip(past["user_id"], past["brand"], strict=True))
        assert list(fold.is_new) == [pair not in pairs for pair in found.items()]
        assert fold.contexts.events["event_time"].max() < pd.Timestamp(day) + pd.Timedelta(days=1)
        learned = fold.examples.targets.assign(brand=name.loc[fold.examples.targets["advertiser_id"]].to_numpy())
        user = fold.examples.contexts.user_ids[learned["user"]]
        mine = past[past["user_id"].isin(able)]
        assert sorted(zip(user, learned["brand"], strict=True)) == sorted(
            zip(mine["user_id"], mine["brand"], strict=True)
        )
