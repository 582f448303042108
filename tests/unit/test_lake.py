"""The lake shows, as of a day, exactly what was known by its end."""

from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.lake import Lake
from ml.sources.contract import TABLES
from tests.lakes import GENERATE_ONLY, arrow_schema, known_by, random_frames, temporary_lake

LAST = date(2024, 1, 20)


def keys_in(lake: Lake, as_of: date | None) -> dict[str, list[str]]:
    with lake.connect(as_of=as_of) as con:
        return {
            name: [key for (key,) in con.execute(f"SELECT {table.key} FROM {name} ORDER BY 1").fetchall()]
            for name, table in TABLES.items()
        }


@given(st.integers(0, 2**32), st.dates(date(2023, 12, 31), LAST))
@settings(max_examples=6, deadline=None, phases=GENERATE_ONLY)
def test_a_view_holds_the_rows_known_by_then_and_no_other(seed, as_of):
    frames = random_frames(np.random.default_rng(seed))
    with temporary_lake(frames) as lake:
        shown = keys_in(lake, as_of)
    for name, frame in frames.items():
        key = TABLES[name].key
        expected = known_by(name, frame, as_of)[key]
        unique = expected.unique() if TABLES[name].kind == "register" else expected
        assert shown[name] == sorted(unique), name


@given(st.integers(0, 2**32), st.dates(date(2024, 1, 1), LAST))
@settings(max_examples=6, deadline=None, phases=GENERATE_ONLY)
def test_the_newest_row_of_a_register_counts(seed, as_of):
    users = random_frames(np.random.default_rng(seed))["users"]
    newest = known_by("users", users, as_of).groupby("user_id")["updated_at"].max()
    with temporary_lake({"users": users}) as lake, lake.connect(as_of=as_of) as con:
        shown = con.execute("SELECT user_id, updated_at FROM users").df().set_index("user_id")["updated_at"]
    pd.testing.assert_series_equal(shown.sort_index(), newest.sort_index(), check_dtype=False)


def test_without_as_of_everything_is_shown():
    frames = random_frames(np.random.default_rng(0))
    with temporary_lake(frames) as lake:
        shown = keys_in(lake, None)
    assert len(shown["conversions"]) == len(frames["conversions"])


def test_a_conversion_known_late_is_filed_early_and_seen_late(tmp_path):
    lake, day = Lake(tmp_path), date(2024, 1, 3)
    row = dict.fromkeys(TABLES["conversions"].column_names)
    row |= {"conversion_id": "c", "user_id": "u", "advertiser_id": "a", "kind": "purchase", "attribution": "none"}
    row |= {"event_time": datetime(2024, 1, 3, 9), "known_at": datetime(2024, 1, 8)}
    lake.write_day("conversions", day, pa.Table.from_pylist([row], arrow_schema(TABLES["conversions"])))
    seen = {n: keys_in(lake, date(2024, 1, n))["conversions"] for n in (3, 7, 8)}
    assert seen == {3: [], 7: [], 8: ["c"]}


def test_a_profile_delivered_ahead_of_its_time_waits_for_it(tmp_path):
    lake, day = Lake(tmp_path), date(2024, 1, 3)
    row = {"user_id": "u", "consent": True, "updated_at": datetime(2024, 1, 8)}
    lake.write_day("users", day, pa.Table.from_pylist([row], arrow_schema(TABLES["users"])))
    assert {n: keys_in(lake, date(2024, 1, n))["users"] for n in (3, 7, 8)} == {3: [], 7: [], 8: ["u"]}


def test_an_empty_lake_has_every_table_and_no_rows(tmp_path):
    with Lake(tmp_path / "nothing").connect() as con:
        for name, table in TABLES.items():
            assert con.execute(f"SELECT * FROM {name}").df().columns.tolist() == table.column_names
            assert con.execute(f"SELECT count(*) FROM {name}").fetchall() == [(0,)]


@pytest.mark.parametrize("again", [False, True])
def test_writing_a_day_replaces_it_and_leaves_nothing_else(tmp_path, again):
    frames = random_frames(np.random.default_rng(1), n_days=2)
    rows = pa.Table.from_pandas(frames["activity"], arrow_schema(TABLES["activity"]), preserve_index=False)
    lake = Lake(tmp_path)
    if again:
        lake.write_day("activity", LAST, rows.slice(0, 1))
    path = lake.write_day("activity", LAST, rows)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    assert lake.days("activity") == [LAST]
    assert len(keys_in(lake, None)["activity"]) == len(rows)
