"""A tiny world has the proportions that later stages count on (wide bands: 150 users)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.sources.contract import TABLES
from ml.sources.world import WorldSource
from ml.timeline import Window
from ml.world.pool import Pool, choose
from ml.world.settings import WorldSettings

Query = Callable[[str], pd.DataFrame]
SPLIT = "(DATE '2026-03-01' + 53)"


def test_impressions_clicks_and_credit(query: Query, tiny: WorldSettings) -> None:
    counts = {t: len(query(f"SELECT 1 FROM {t}")) for t in ("impressions", "clicks")}
    credited = len(query("SELECT 1 FROM conversions WHERE impression_id IS NOT NULL"))
    assert 3 < counts["impressions"] / tiny.users / tiny.total_days < 4.5
    assert 0.01 < counts["clicks"] / counts["impressions"] < 0.05
    assert 0.008 < credited / counts["impressions"] < 0.03
    by_position = query(
        """SELECT position, count(click_id) / count(*) AS ctr FROM impressions LEFT JOIN clicks USING (impression_id)
           GROUP BY 1 ORDER BY 1"""
    )
    assert by_position["ctr"].is_monotonic_decreasing


def test_streams_are_short_and_conversions_frequent(query: Query, tiny: WorldSettings) -> None:
    activity = query(f"SELECT user_id FROM activity WHERE date < {SPLIT}")
    conversions = query(f"SELECT user_id FROM conversions WHERE date < {SPLIT}")
    assert 12 < (len(activity) + len(conversions)) / tiny.users < 24
    assert 3 < len(conversions) / tiny.users < 9
    label = query(f"SELECT DISTINCT user_id FROM conversions WHERE date BETWEEN {SPLIT} AND {SPLIT} + 6")
    assert 0.3 < len(label) / tiny.users < 0.75


def test_targets_are_new_and_old_advertisers(query: Query) -> None:
    """First conversions of the label window: many with advertisers the user was never seen to convert with."""
    rows = query(
        f"""WITH first AS (SELECT user_id, arg_min(advertiser_id, event_time) AS advertiser_id FROM conversions
                WHERE date BETWEEN {SPLIT} AND {SPLIT} + 6 GROUP BY 1)
            SELECT EXISTS (SELECT 1 FROM conversions c WHERE c.user_id = f.user_id
                AND c.advertiser_id = f.advertiser_id AND c.known_at < {SPLIT}) AS old FROM first f"""
    )
    assert 0.15 < rows["old"].mean() < 0.65


def test_days_are_alike_from_the_first_one_on(query: Query) -> None:
    """The warm-up worked: no ramp at the start that a volume check would take for a broken day."""
    daily = query("SELECT count(*) AS n FROM activity GROUP BY date ORDER BY date")["n"]
    assert 0.7 < daily[:7].mean() / daily[30:].mean() < 1.4


def test_an_advertiser_is_shown_once_a_request_and_pays_no_more_than_it_bid(query: Query) -> None:
    again = query(
        "SELECT request_id, advertiser_id FROM impressions JOIN ads USING (ad_id) GROUP BY ALL HAVING count(*) > 1"
    )
    assert again.empty
    assert query("SELECT 1 FROM impressions WHERE price_paid > bid").empty
    gaps = query(
        "SELECT request_id FROM impressions GROUP BY 1 HAVING max(position) <> count(*) - 1 OR min(position) <> 0"
    )
    assert gaps.empty


def test_users_differ_and_the_strong_brands_are_few(query: Query) -> None:
    share = query("SELECT count(*) AS n FROM conversions GROUP BY advertiser_id ORDER BY n DESC")["n"]
    assert 0.3 < share[:10].sum() / share.sum() < 0.85  # 10 of 40 here
    per_user = query("SELECT count(DISTINCT advertiser_id) / count(*) AS spread FROM conversions GROUP BY user_id")
    assert 0.2 < per_user["spread"].mean() < 0.95


def test_the_source_simulates_once_and_reads_what_was_written(tiny: WorldSettings, tmp_path: Path) -> None:
    settings = tiny.model_copy(update={"days": 3, "outcome_days": 1, "warm_up_days": 3})
    simulated: list[int] = []
    source = WorldSource(settings, 5, tmp_path / "landing", lambda done, total, unit: simulated.append(done))
    assert source.window() == settings.window and source.tables() == set(TABLES)
    assert not simulated, "nobody asked for rows yet"
    rows = source.read("impressions", Window(source.window().first, source.window().first))
    assert simulated == [1, 2, 3, 4]
    assert set(rows.column_names) == {*TABLES["impressions"].column_names, "_day"}
    assert rows.num_rows > 0 and rows["_day"].unique().to_pylist() == [settings.first_day]
    again = WorldSource(settings, 5, tmp_path / "landing", lambda done, total, unit: simulated.append(done))
    again.read("users", source.window())
    assert again.fingerprint() == source.fingerprint() and simulated == [1, 2, 3, 4]
    WorldSource(settings, 6, tmp_path / "landing", lambda done, total, unit: simulated.append(done)).ensure()
    assert simulated == [1, 2, 3, 4, 1, 2, 3, 4], "another seed is another world"


def test_choose_draws_in_proportion_and_never_what_has_no_weight() -> None:
    weights = np.tile([0.0, 1.0, 0.0, 3.0, 0.0], (20_000, 1))
    drawn = np.bincount(choose(weights, np.random.default_rng(0)), minlength=5) / 20_000
    assert np.allclose(drawn, [0, 0.25, 0, 0.75, 0], atol=0.02)
    with pytest.raises(ValueError, match="no weight"):
        choose(np.zeros((1, 3)), np.random.default_rng(0))


def test_a_pool_gives_every_row_once_on_its_day() -> None:
    pool = Pool("what")
    pool.add(time=np.array([5, 1, 9]), what=np.array([50, 10, 90]))
    assert pool.take_until(5)["what"].tolist() == [10]
    assert pool.take_until(100)["what"].tolist() == [50, 90]
    assert not len(pool.take_until(100)["what"])
