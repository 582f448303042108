"""Ranker rows: labels by construction at the very second, splits, consent, and negatives that give nothing away."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ml.errors import BadInput
from ml.lake import Lake
from ml.ranking.impressions import COLUMNS, ranker_rows
from ml.sources.contract import TABLES
from ml.timeline import Timeline, TimelineSettings, end_of
from tests.lakes import arrow_schema, random_frames, scramble_future, write_lake

FIRST = date(2024, 1, 1)
TIMELINE = Timeline(
    date(2024, 1, 25),
    TimelineSettings(label_window_days=5, outcome_days=2, ranker_days=6, calibration_days=4, snapshot_every_days=3),
)
SPLITS = {"train": TIMELINE.ranker, "calibration": TIMELINE.calibration, "test": TIMELINE.test}


def lake_of(root: Path, tables: dict[str, list[dict]]) -> Lake:
    """A lake of rows given as dicts with `_day`, missing columns null."""
    frames = {
        name: pd.DataFrame([{c: row.get(c) for c in [*TABLES[name].column_names, "_day"]} for row in rows])
        for name, rows in tables.items()
    }
    lake = Lake(root)
    for name, frame in frames.items():
        for day, rows in frame.groupby("_day"):
            names = TABLES[name].column_names
            lake.write_day(name, day, pa.Table.from_pylist(rows[names].to_dict("records"), arrow_schema(TABLES[name])))
    return lake


def registers(consent: dict[str, bool]) -> dict[str, list[dict]]:
    return {
        "advertisers": [{"advertiser_id": "a", "name": "A", "vertical": "v", "active_from": FIRST, "_day": FIRST}],
        "ads": [{"ad_id": f"ad{i}", "advertiser_id": "a", "category": "c", "_day": FIRST} for i in range(4)],
        "users": [{"user_id": u, "consent": c, "updated_at": end_of(FIRST), "_day": FIRST} for u, c in consent.items()],
    }


def at(day: date, hour: int = 12) -> datetime:
    return datetime.combine(day, time(hour))


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Lake:
    """Per day from Jan 2 to Feb 3, per user: an impression that never converts, one whose conversion is known in the
    last second of day + outcome_days ("last"), and one second later ("late")."""
    tables = registers({"yes": True, "yes2": True, "no": False}) | {"impressions": [], "conversions": []}
    for day in (FIRST + timedelta(days=k) for k in range(1, 34)):
        for user in ("yes", "yes2", "no"):
            for kind in ("never", "last", "late"):
                name = f"{user}-{day}-{kind}"
                impression = {
                    "impression_id": name,
                    "request_id": name,
                    "user_id": user,
                    "ad_id": "ad0",
                    "surface": "home",
                }
                tables["impressions"].append(impression | {"position": 0, "event_time": at(day), "_day": day})
                closes = end_of(day + timedelta(days=TIMELINE.settings.outcome_days))
                known = closes - timedelta(seconds=1) if kind == "last" else closes
                conversion = {
                    "conversion_id": name,
                    "user_id": user,
                    "advertiser_id": "a",
                    "ad_id": "ad0",
                    "kind": "buy",
                }
                conversion |= {
                    "event_time": at(day, 13),
                    "known_at": known,
                    "impression_id": name,
                    "attribution": "click",
                }
                tables["conversions"] += [] if kind == "never" else [conversion | {"_day": day}]
    return lake_of(tmp_path_factory.mktemp("shown"), tables)


def rows_of(lake: Lake, **options) -> pd.DataFrame:
    options = {"negatives": 3, "rng": np.random.default_rng(0)} | options
    return ranker_rows(lake, TIMELINE, **options)


def test_a_label_is_a_conversion_known_when_it_closes_not_a_second_later(shown):
    rows = rows_of(shown)
    assert list(rows.columns) == COLUMNS
    kinds = rows["row_id"].str.rsplit("-", n=1).str[1]
    assert ((kinds == "last") == (rows["label"] == 1)).all()
    assert (rows["label_closes"] == [d + timedelta(days=2) for d in rows["day"]]).all()
    assert set(rows["user_id"]) == {"yes", "yes2"}


def test_splits_are_the_timelines_windows_in_full(shown):
    rows = rows_of(shown)
    for split, window in SPLITS.items():
        assert sorted(set(rows.loc[rows["split"] == split, "day"])) == window.days
    assert (rows["prior_day"] == [TIMELINE.snapshot_before(d) for d in rows["day"]]).all()
    assert (rows.loc[rows["split"] == "test", "prior_day"] == TIMELINE.as_of).all()


def test_users_and_max_rows_keep_whole_users(shown):
    assert set(rows_of(shown, users=np.array(["yes2", "no"]))["user_id"]) == {"yes2"}
    capped = rows_of(shown, max_rows=20)  # a user has 18 train, 12 calibration and 15 test rows
    everything = rows_of(shown)
    for (split, user), mine in capped.groupby(["split", "user_id"]):
        both = (everything["split"] == split) & (everything["user_id"] == user)
        assert set(mine["row_id"]) == set(everything.loc[both, "row_id"])
    assert capped.loc[capped["split"] != "calibration"].groupby("split")["user_id"].nunique().tolist() == [1, 1]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("with_impressions", [True, False])
def test_training_rows_do_not_know_the_future(tmp_path, seed, with_impressions):
    rng = np.random.default_rng(seed)
    frames = random_frames(rng, first=FIRST, n_days=36, n_users=16, events_per_user=50, late_share=0.3)
    # the set of users is consent by as_of, the same in both lakes; conversions name impressions
    shown = frames["impressions"]["impression_id"].to_numpy()
    frames["conversions"]["impression_id"] = rng.choice(shown, len(frames["conversions"]))
    if not with_impressions:
        frames |= {"impressions": frames["impressions"].iloc[:0], "clicks": frames["clicks"].iloc[:0]}
    other = scramble_future(frames, TIMELINE.as_of, rng)
    one, two = (rows_of(write_lake(f, tmp_path / n)) for f, n in ((frames, "one"), (other, "two")))
    trained = [rows[rows["split"] != "test"].reset_index(drop=True) for rows in (one, two)]
    assert len(trained[0]) > 30 and trained[0]["label"].nunique() == 2
    pd.testing.assert_frame_equal(*trained)
    TIMELINE.check_ranker_rows(trained[0], model_known_until=TIMELINE.predictor_cutoff)


@pytest.fixture(scope="module")
def bought(tmp_path_factory) -> Lake:
    """No impressions. Users u0..u9 buy ad0 often and ad1 seldom; ad2 is never bought; ad3 is filed on Jan 20 only, and
    bought that day and after; `off` belongs to an advertiser that ended."""
    tables = registers({f"u{i}": True for i in range(10)} | {"no": False}) | {"conversions": []}
    tables["ads"][3]["_day"] = date(2024, 1, 20)
    tables["advertisers"].append(
        {"advertiser_id": "gone", "name": "G", "vertical": "v", "active_from": FIRST, "_day": FIRST}
    )
    tables["advertisers"][-1]["active_to"] = date(2024, 1, 10)
    tables["ads"].append({"ad_id": "off", "advertiser_id": "gone", "category": "c", "_day": FIRST})
    for day in (FIRST + timedelta(days=k) for k in range(31)):
        for i, user in enumerate([*(f"u{i}" for i in range(10)), "no"]):
            ad = "ad1" if i == day.day % 10 else ("ad3" if i == 3 and day >= date(2024, 1, 20) else "ad0")
            row = {
                "conversion_id": f"{day}{user}",
                "user_id": user,
                "advertiser_id": "a",
                "ad_id": ad,
                "kind": "buy",
                "_day": day,
            }
            tables["conversions"].append(row | {"event_time": at(day), "attribution": "none"})
    return lake_of(tmp_path_factory.mktemp("bought"), tables)


def test_positives_are_the_conversions_and_negatives_are_not(bought):
    rows = rows_of(bought)
    assert not rows.duplicated(["user_id", "day", "ad_id"]).any() and rows["row_id"].is_unique
    positives = rows[rows["label"] == 1]
    assert set(positives["user_id"]) == {f"u{i}" for i in range(10)}
    for split, window in SPLITS.items():
        mine = positives[positives["split"] == split]
        unfiled = date(2024, 1, 20) in window  # u3's purchase of ad3 on the day it is filed is no row
        assert len(mine) == 10 * len(window.days) - unfiled
    assert set(rows.loc[rows["label"] == 0, "ad_id"]) == {"ad0", "ad1", "ad2", "ad3"}
    assert rows.loc[rows["ad_id"] == "ad3", "day"].min() == date(2024, 1, 21)
    assert "off" not in set(rows["ad_id"])


def test_negatives_follow_popularity_and_the_seed(bought):
    one, again, other = (rows_of(bought, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert not one["row_id"].equals(other["row_id"])
    drawn = one[(one["label"] == 0) & ~one["ad_id"].isin(["ad0"])]["ad_id"].value_counts()
    assert drawn["ad1"] > drawn["ad2"] > 0  # bought seldom beats never bought


def test_an_empty_window_is_an_error(tmp_path):
    lake = lake_of(tmp_path, registers({"u": True}))
    with pytest.raises(BadInput, match="ranker's train split"):
        rows_of(lake)
