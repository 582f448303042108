"""No written column reveals a latent: ids and numbers that should tell nothing tell nothing, nothing else is written.

Text, categories, advertisers, prices paid and what people did are what a platform may know; interest, liking,
habits, life events, brand strength and ad quality show in them and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import chisquare, spearmanr

from ml.sources.contract import TABLES
from ml.world.settings import WorldSettings
from ml.world.shard import Shard, catalogue_of
from ml.world.writer import DayWriter

Query = Callable[[str], pd.DataFrame]
MEANS_SOMETHING = {
    "advertisers": {"name", "vertical", "active_from", "active_to"},
    "ads": {"advertiser_id", "title", "category", "price", "created_at"},
    "users": {"age_bucket", "gender", "region", "consent", "updated_at"},
    "activity": {"user_id", "event_time", "kind", "text", "url", "category", "advertiser_id"},
    "impressions": {
        "request_id", "user_id", "ad_id", "event_time", "surface", "position", "bid", "price_paid", "propensity",
    },
    "clicks": {"impression_id", "event_time", "dwell_seconds"},
    "conversions": {
        "user_id", "advertiser_id", "ad_id", "event_time", "known_at", "kind", "value", "impression_id", "attribution",
    },
}  # fmt: skip
"""All that is written beside the keys; a new column must be thought about here."""
UNLIKELY = 1e-4


@pytest.fixture(scope="module")
def shard(tiny: WorldSettings) -> Shard:
    """The people behind the logs of `query`, as they were before the first day."""
    found = Shard(tiny.model_copy(update={"users": 2_000}), 7, 0, catalogue_of(tiny, 7))
    found.wake(-1)
    return found


def test_nothing_is_written_that_is_not_thought_about(world: Path, query: Query) -> None:
    assert {path.name for path in world.iterdir() if path.is_dir()} == set(MEANS_SOMETHING) == set(TABLES)
    for name, known in MEANS_SOMETHING.items():
        columns = set(query(f"SELECT * EXCLUDE (date) FROM {name} LIMIT 1").columns)
        assert columns == known | {TABLES[name].key}


def test_numbers_of_users_say_nothing_about_them(shard: Shard) -> None:
    people = shard.population
    latents = {
        "level": people.level,
        "loyalty": people.loyalty,
        "price sensitivity": people.price_sensitivity,
        **{f"interest {s}": column for s, column in enumerate(people.interest.T)},
        **{f"liking {a}": people.liking(np.arange(2_000), np.array(a)) for a in range(10)},
    }
    surprising = [name for name, latent in latents.items() if spearmanr(np.arange(2_000), latent).pvalue < UNLIKELY]
    assert surprising == []


def test_numbers_of_advertisers_and_ads_say_nothing_about_them() -> None:
    catalogue = catalogue_of(WorldSettings(users=100, advertisers=1_000, ads=4_000), 7)
    latents = {
        "strength": catalogue.brand,
        "subvertical": catalogue.sub,
        "price level": catalogue.price_level,
        "bid": catalogue.bid,
        "budget": catalogue.budget,
        "style": catalogue.style[:, 0],
    }
    numbers = np.array([int(text.removeprefix("adv")) for text in catalogue.ids])
    assert [name for name, latent in latents.items() if spearmanr(numbers, latent).pvalue < UNLIKELY] == []
    numbers = np.array([int(text.removeprefix("ad")) for text in catalogue.ad_ids])
    of_ad = {"quality": catalogue.ad_quality, "strength": catalogue.brand[catalogue.ad_advertiser]}
    assert [name for name, latent in of_ad.items() if spearmanr(numbers, latent).pvalue < UNLIKELY] == []


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("activity", "event_id"),
        ("impressions", "impression_id"),
        ("clicks", "click_id"),
        ("conversions", "conversion_id"),
    ],
)
def test_ids_of_rows_tell_the_time_and_nothing_else(table: str, key: str, query: Query) -> None:
    rows = query(f"SELECT {key} AS id, event_time, date FROM {table} ORDER BY date, id")
    assert rows["id"].str.fullmatch(r"[a-z]\d{6}-\d{6,}").all()
    assert rows.groupby("date")["event_time"].is_monotonic_increasing.all()
    assert (
        rows.groupby("date")["id"].apply(lambda ids: ids.str[-6:].astype(int).tolist() == list(range(len(ids)))).all()
    )


def test_page_numbers_of_addresses_are_drawn_blindly(query: Query) -> None:
    rows = query("SELECT url, category, advertiser_id, kind FROM activity WHERE url IS NOT NULL")
    page = rows["url"].str.extract(r"/(\d{5})$")[0].astype(int)
    assert chisquare(np.histogram(page, bins=18, range=(10_000, 100_000))[0]).pvalue > UNLIKELY
    for column in ("category", "advertiser_id"):
        known = pd.factorize(rows[column], use_na_sentinel=False)[0]
        assert spearmanr(page, known).pvalue > UNLIKELY
    hidden = rows["category"].isna()
    assert (rows.loc[hidden, "url"].str.split("/").str[3] == "p").all()


def test_an_activity_row_is_written_from_its_subject_alone(shard: Shard, tmp_path: Path) -> None:
    """Whoever searches, with whatever in mind: the same subjects at the same times give the same texts."""
    rng = np.random.default_rng(0)
    n, subs = 400, len(shard.catalogue.subverticals)
    rows = {
        "time": np.sort(rng.choice(86_400, n, replace=False)),
        "user": rng.integers(0, 2_000, n),
        "kind": rng.integers(0, 3, n),
        "sub": rng.integers(-1, subs, n),
        "advertiser": rng.integers(-1, 40, n),
        "branded": rng.integers(0, 2, n),
    }
    written = []
    for name, users in (("some", rows["user"]), ("others", rng.permutation(rows["user"]))):
        DayWriter(tmp_path / name, shard).activity(0, {**rows, "user": users})
        table = pq.read_table(next((tmp_path / name).glob("activity/date=*/part-0.parquet")))
        written.append(table.to_pandas().sort_values("event_id", ignore_index=True))
    assert not written[0]["user_id"].equals(written[1]["user_id"])
    pd.testing.assert_frame_equal(written[0].drop(columns="user_id"), written[1].drop(columns="user_id"))
