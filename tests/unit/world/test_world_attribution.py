"""Credit goes to an earlier impression of the same advertiser and user, in time for labels to close."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ml.world.clock import DAY, HOUR
from ml.world.credit import last_before, reporting_delays
from ml.world.settings import WorldSettings

Query = Callable[[str], pd.DataFrame]
CREDITED = """
    SELECT c.*, i.event_time AS shown, i.date AS shown_day, i.user_id AS viewer, i.ad_id AS shown_ad,
           a.advertiser_id AS shown_advertiser, k.event_time AS clicked
    FROM conversions c JOIN impressions i USING (impression_id)
    JOIN (SELECT DISTINCT ad_id, advertiser_id FROM ads) a ON a.ad_id = i.ad_id
    LEFT JOIN clicks k USING (impression_id)"""


def test_credit_points_at_an_earlier_impression_of_that_user_and_advertiser(query: Query) -> None:
    rows = query(CREDITED)
    assert len(rows) > 100
    assert (rows["user_id"] == rows["viewer"]).all()
    assert (rows["advertiser_id"] == rows["shown_advertiser"]).all()
    assert (rows["ad_id"] == rows["shown_ad"]).all()
    assert (rows["shown"] < rows["event_time"]).all()


def test_labels_of_an_impression_close_seven_days_after_its_day(query: Query) -> None:
    rows = query(CREDITED)
    assert (rows["event_time"] - rows["shown"]).max() <= pd.Timedelta(days=7)
    assert (rows["known_at"] < rows["shown_day"] + pd.Timedelta(days=8)).all()
    assert (rows["event_time"] - rows["shown"]).max() > pd.Timedelta(days=3), "or the bound is not tested"


def test_clicks_come_before_views_and_views_count_for_a_day(query: Query, tiny: WorldSettings) -> None:
    rows = query(CREDITED)
    click = rows["attribution"] == "click"
    assert set(rows["attribution"]) == {"click", "view"}
    assert (rows["clicked"][click] < rows["event_time"][click]).all()
    views = rows[~click]
    assert (views["event_time"] - views["shown"]).max() <= pd.Timedelta(days=tiny.view_days)


def test_without_credit_there_is_no_impression_and_no_ad(query: Query) -> None:
    rows = query("SELECT * FROM conversions")
    none = rows["attribution"] == "none"
    assert none.any() and rows.loc[none, ["impression_id", "ad_id"]].isna().all(axis=None)
    assert rows.loc[~none, ["impression_id", "ad_id"]].notna().all(axis=None)


def test_nothing_is_known_after_the_last_day(query: Query, tiny: WorldSettings) -> None:
    rows = query("SELECT * FROM conversions")
    assert (rows["known_at"] > rows["event_time"]).all()
    assert (rows["known_at"] - rows["event_time"]).max() < pd.Timedelta(days=7)
    assert rows["known_at"].max() < pd.Timestamp(tiny.window.last) + pd.Timedelta(days=1)


def test_a_third_is_known_within_the_hour_and_half_within_a_day() -> None:
    rng = np.random.default_rng(1)
    delays = reporting_delays(rng.random(40_000), rng.random(40_000))
    assert delays.min() > 0 and delays.max() < 7 * DAY
    assert abs((delays < HOUR).mean() - 1 / 3) < 0.01
    assert abs((delays < DAY).mean() - 1 / 2) < 0.01
    assert (delays > 5 * DAY).mean() > 0.02


@given(st.data())
def test_last_before_finds_what_a_search_row_by_row_finds(data: st.DataObject) -> None:
    pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), max_size=12)
    shown, asked = data.draw(pairs), data.draw(pairs)
    log = {name: np.array([pair[i] for pair in shown], dtype=np.int64) for i, name in enumerate(("key", "time"))}
    key, time = (np.array([pair[i] for pair in asked], dtype=np.int64) for i in range(2))
    for k, t, row in zip(key, time, last_before(log, key, time), strict=True):
        before = [when for which, when in shown if which == k and when < t]
        assert (row == -1) if not before else (shown[row] == (k, max(before)))
