"""The lake shows, as of a day, exactly what was known by its end; on a local disk and on S3 alike."""

import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.lake import Lake
from ml.places import place
from ml.ranking.registers import create_versions
from ml.sources.contract import TABLES
from tests.lakes import GENERATE_ONLY, arrow_schema, known_by, random_frames, temporary_lake, write_lake
from tests.s3 import Proxy, S3Server, before, silence, status

FIRST, LAST = date(2024, 1, 1), date(2024, 1, 20)
NewLake = Callable[[], Lake]


@pytest.fixture(params=["local", "s3"])
def new_lake(request: pytest.FixtureRequest, tmp_path: Path) -> NewLake:
    """Makes empty lakes, in a directory or in a bucket."""
    if request.param == "local":
        return lambda: Lake(tmp_path / f"lake-{len(list(tmp_path.iterdir()))}")
    s3: S3Server = request.getfixturevalue("s3")
    return lambda: Lake(place(f"{s3.bucket()}/a prefix/lake"))


def keys_in(lake: Lake, as_of: date | None) -> dict[str, list[str]]:
    with lake.connect(as_of=as_of) as con:
        return {
            name: [key for (key,) in con.execute(f"SELECT {table.key} FROM {name} ORDER BY 1").fetchall()]
            for name, table in TABLES.items()
        }


def check_known_rows(lake: Lake, frames, as_of: date) -> None:
    shown = keys_in(lake, as_of)
    for name, frame in frames.items():
        key = TABLES[name].key
        expected = known_by(name, frame, as_of)[key]
        unique = expected.unique() if TABLES[name].kind == "register" else expected
        assert shown[name] == sorted(unique), name


@given(st.integers(0, 2**32), st.dates(date(2023, 12, 31), LAST))
@settings(max_examples=6, deadline=None, phases=GENERATE_ONLY)
def test_a_view_holds_the_rows_known_by_then_and_no_other(seed, as_of):
    frames = random_frames(np.random.default_rng(seed))
    with temporary_lake(frames) as lake:
        check_known_rows(lake, frames, as_of)


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


def test_one_lake_says_the_same_wherever_it_lies(s3: S3Server, tmp_path):
    """Views as of several days, and the registers' versions, which read the files past the views."""
    frames = random_frames(np.random.default_rng(3), n_days=8)
    here, there = write_lake(frames, tmp_path), write_lake(frames, place(f"{s3.bucket()}/lake"))
    for as_of in (None, date(2024, 1, 2), date(2024, 1, 6)):
        if as_of:
            check_known_rows(there, frames, as_of)
        with here.connect(as_of) as mine, there.connect(as_of) as theirs:
            for name in TABLES:
                query = f"SELECT * FROM {name} ORDER BY ALL"
                pd.testing.assert_frame_equal(mine.execute(query).df(), theirs.execute(query).df())
    with here.connect() as mine, there.connect() as theirs:
        for con, lake in ((mine, here), (theirs, there)):
            create_versions(con, lake)
        query = "SELECT * FROM users_versions ORDER BY ALL"
        pd.testing.assert_frame_equal(mine.execute(query).df(), theirs.sql(query).df())


def test_a_conversion_known_late_is_filed_early_and_seen_late(new_lake: NewLake):
    lake, day = new_lake(), date(2024, 1, 3)
    row = dict.fromkeys(TABLES["conversions"].column_names)
    row |= {"conversion_id": "c", "user_id": "u", "advertiser_id": "a", "kind": "purchase", "attribution": "none"}
    row |= {"event_time": datetime(2024, 1, 3, 9), "known_at": datetime(2024, 1, 8)}
    lake.write_day("conversions", day, pa.Table.from_pylist([row], arrow_schema(TABLES["conversions"])))
    seen = {n: keys_in(lake, date(2024, 1, n))["conversions"] for n in (3, 7, 8)}
    assert seen == {3: [], 7: [], 8: ["c"]}


def test_a_profile_delivered_ahead_of_its_time_waits_for_it(new_lake: NewLake):
    lake, day = new_lake(), date(2024, 1, 3)
    row = {"user_id": "u", "consent": True, "updated_at": datetime(2024, 1, 8)}
    lake.write_day("users", day, pa.Table.from_pylist([row], arrow_schema(TABLES["users"])))
    assert {n: keys_in(lake, date(2024, 1, n))["users"] for n in (3, 7, 8)} == {3: [], 7: [], 8: ["u"]}


def test_an_empty_lake_has_every_table_and_no_rows(new_lake: NewLake):
    with new_lake().connect() as con:
        for name, table in TABLES.items():
            assert con.execute(f"SELECT * FROM {name}").df().columns.tolist() == table.column_names
            assert con.execute(f"SELECT count(*) FROM {name}").fetchall() == [(0,)]


def activity(n_days: int = 2) -> pa.Table:
    frames = random_frames(np.random.default_rng(1), n_days=n_days)
    return pa.Table.from_pandas(frames["activity"], arrow_schema(TABLES["activity"]), preserve_index=False)


@pytest.mark.parametrize("again", [False, True])
def test_writing_a_day_replaces_it_and_leaves_nothing_else(new_lake: NewLake, again):
    rows, lake = activity(), new_lake()
    if again:
        lake.write_day("activity", LAST, rows.slice(0, 1))
    path = lake.write_day("activity", LAST, rows)
    assert [p for p in lake.root.rglob("*") if p.is_file()] == [path]
    assert lake.days("activity") == [LAST]
    assert len(keys_in(lake, None)["activity"]) == len(rows)
    lake.remove_day("activity", LAST)
    assert lake.days("activity") == []


def test_a_partition_has_the_same_bytes_on_s3(s3: S3Server, tmp_path):
    rows, url = activity(), s3.bucket()
    Lake(place(url)).write_day("activity", LAST, rows)
    mine = Lake(tmp_path).write_day("activity", LAST, rows)
    assert s3.get(f"{url}/activity/date={LAST}/part-0.parquet") == mine.read_bytes()


def test_a_write_that_fails_leaves_the_old_partition(s3: S3Server, s3_proxy: Proxy):
    rows, url = activity(), s3.bucket()
    lake = Lake(place(url))
    lake.write_day("activity", LAST, rows.slice(0, 1))
    s3_proxy.on("PUT", "part-0", status(403))
    with pytest.raises(BadInput, match="refused"):
        lake.write_day("activity", LAST, rows)
    assert s3.keys(url) == [f"activity/date={LAST}/part-0.parquet"]
    assert len(keys_in(lake, None)["activity"]) == 1


KILLED = """
import sys
from datetime import date
import pyarrow as pa
from ml.lake import Lake
from ml.places import place
Lake(place(sys.argv[1])).write_day("activity", date.fromisoformat(sys.argv[2]), pa.table({"event_id": ["new"] * 9999}))
"""


def test_kill_9_in_the_middle_of_a_write_leaves_the_old_partition(s3: S3Server, s3_proxy: Proxy):
    """The only request that writes is one PUT; the process dies while the server has read it and not answered."""
    url, rows = s3.bucket(), activity()
    Lake(place(url)).write_day("activity", LAST, rows)
    assert [method for method, _ in s3_proxy.requests] == ["PUT"]
    process: list[subprocess.Popen] = []

    def killed(request: object) -> bool:
        process[0].kill()
        return True

    s3_proxy.on("PUT", "part-0", killed)
    process.append(subprocess.Popen([sys.executable, "-c", KILLED, url, str(LAST)]))
    assert process[0].wait(60) < 0
    assert [method for method, _ in s3_proxy.requests] == ["PUT", "PUT"]
    assert len(keys_in(Lake(place(url)), None)["activity"]) == len(rows)


def test_a_connection_lists_twice_and_reads_each_object_once(s3: S3Server, s3_proxy: Proxy):
    """Not a HEAD for each file and query: a year of seven tables would be thousands."""
    frames = random_frames(np.random.default_rng(2), n_days=5)
    lake = write_lake(frames, place(f"{s3.bucket()}/lake"))
    partitions, asked = len(lake.days("activity")), s3_proxy.asked
    lists = asked("GET", "list-type")
    with lake.connect(as_of=date(2024, 1, 5)) as con:
        assert asked("GET", "list-type") - lists == 2
        for _ in range(3):
            con.execute("SELECT kind, count(*) FROM activity GROUP BY kind").df()
    assert asked("GET", "/activity/") == partitions
    assert asked("HEAD", "") == 0 and asked("GET", "list-type") - lists == 2
    with lake.connect() as con:
        con.execute("SELECT max(event_time) FROM activity").fetchall()
    assert asked("GET", "/activity/") == partitions, "the next connection has them still"


def test_a_replaced_partition_is_read_anew(new_lake: NewLake):
    lake, rows = new_lake(), activity()
    for part in (rows, rows.slice(0, 1), rows):
        lake.write_day("activity", LAST, part)
        assert len(keys_in(lake, None)["activity"]) == len(part)


def test_large_objects_are_read_by_range_and_not_kept(s3: S3Server, s3_proxy: Proxy, monkeypatch):
    monkeypatch.setattr("ml.s3_reader.BLOCK", 2_000)
    lake, rows = Lake(place(s3.bucket())), activity(20)
    size = len(s3.get(str(lake.write_day("activity", LAST, rows))))
    assert size > 4_000
    for _ in range(2):
        before = s3_proxy.asked("GET", "part-0")
        with lake.connect() as con:
            assert con.execute("SELECT count(DISTINCT kind) FROM activity").fetchall() == [(3,)]
        assert s3_proxy.asked("GET", "part-0") > before


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = {"connect_timeout": 0.5, "read_timeout": 0.5, "retries": {"total_max_attempts": 2, "mode": "standard"}}
    for module in ("ml.places", "ml.s3_reader"):
        monkeypatch.setattr(f"{module}.S3_CONFIG", fast)


@pytest.mark.parametrize("fault", ["gone", "replaced", "silence", "500", "403"])
def test_a_fault_while_reading_is_one_clear_error(s3: S3Server, s3_proxy: Proxy, impatient: None, fault: str):
    url, rows = s3.bucket(), activity()
    lake = Lake(place(url))
    for day in (FIRST, LAST):
        lake.write_day("activity", day, rows)
    key = f"{url}/activity/date={LAST}/part-0.parquet"
    action, said = {
        "gone": (before(lambda: s3.delete(key)), "no such bucket or object"),
        "replaced": (before(lambda: s3.put(key, b"PAR1 other PAR1" * 100)), "replaced while it was read"),
        "silence": (silence, "did not answer"),
        "500": (status(500), "failed, and again"),
        "403": (status(403), "refused access"),
    }[fault]
    with lake.connect() as con:  # which opens the first partition to know the columns
        s3_proxy.on("GET", f"{LAST}/part-0", action)
        with pytest.raises(BadInput, match=said) as raised:
            con.sql("SELECT count(*) FROM activity").fetchall()
    assert key in str(raised.value) and "Traceback" not in str(raised.value)


def test_a_fault_that_goes_away_is_not_noticed(s3: S3Server, s3_proxy: Proxy):
    lake, rows = Lake(place(s3.bucket())), activity()
    s3_proxy.on("PUT", "part-0", status(500), times=1)
    s3_proxy.on("GET", "part-0", status(503), times=1)
    s3_proxy.on("GET", "list-type", status(503), times=1)
    lake.write_day("activity", LAST, rows)
    assert len(keys_in(lake, None)["activity"]) == len(rows)


def test_a_mistake_in_sql_stays_what_it_is(s3: S3Server):
    with Lake(place(s3.bucket())).connect() as con, pytest.raises(duckdb.BinderException):
        con.execute("SELECT nothing FROM activity")


def test_a_connection_cannot_write(s3: S3Server):
    """DuckDB's COPY commits what it has when a query fails: a half file, visible."""
    url = s3.bucket()
    with Lake(place(url)).connect() as con, pytest.raises(duckdb.Error, match="only reads"):
        con.execute(f"COPY (SELECT 1 AS x) TO '{url}/half.parquet' (FORMAT parquet)")
    assert s3.keys(url) == []
