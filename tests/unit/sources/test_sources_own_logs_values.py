"""Values of own logs: times on any clock, numbers in any unit, and what happens to those that cannot be read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.lake import Lake
from ml.sources.ingest import IngestReport, ingest
from ml.sources.log_mapping import LogMapping
from ml.sources.parquet_logs import ParquetLogs
from ml.timeline import Window

DAY = date(2026, 3, 29)
"""The day on which Berlin's clock skips from 02:00 to 03:00."""
BASE: dict[str, Any] = {
    "name": "mine",
    "consent": "granted_by_source",
    "first_day": DAY - timedelta(days=400),
    "last_day": DAY + timedelta(days=400),
    "sparse": True,
    "advertisers": {"derive_from": "conversions", "columns": {"vertical": {"constant": "all"}}},
    "ads": {"derive_from": "conversions", "columns": {"ad_id": "advertiser_id", "category": {"constant": "all"}}},
    "users": {"derive_from": "conversions"},
}


def mapping(event_time: Any, time_zone: str | None, **more: Any) -> LogMapping:
    columns = {
        "event_time": event_time,
        "kind": {"constant": "purchase"},
        "attribution": {"constant": "none"},
        **more.pop("columns", {}),
    }
    tables = {"conversions": {"files": "c.parquet", "columns": columns}}
    return LogMapping.model_validate({**BASE, **tables, "time_zone": time_zone, **more})


def write(root: Path, **columns: Any) -> None:
    n = len(next(iter(columns.values())))
    ids = {"conversion_id": [f"c{i}" for i in range(n)], "user_id": ["u0"] * n, "advertiser_id": ["a0"] * n}
    root.mkdir(exist_ok=True)
    pq.write_table(pa.table({**ids, **columns}), root / "c.parquet")


def judged(root: Path, chosen: LogMapping, day: date = DAY) -> IngestReport:
    return ingest(ParquetLogs(root, chosen), Window(day, day), Lake(root / "lake"), root / "bad", sparse=True)


def read_times(root: Path, chosen: LogMapping) -> list[datetime]:
    rows = ParquetLogs(root, chosen).read("conversions", Window(BASE["first_day"], BASE["last_day"]))
    assert set(rows["_fault"].to_pylist()) == {None}
    by_id = dict(zip(rows["conversion_id"].to_pylist(), rows["event_time"].to_pylist(), strict=True))
    assert [
        day == time.date() for day, time in zip(rows["_day"].to_pylist(), rows["event_time"].to_pylist(), strict=True)
    ]
    return [by_id[f"c{i}"] for i in range(rows.num_rows)]


MOMENTS = st.lists(
    st.integers(int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2026, 12, 31, tzinfo=UTC).timestamp())),
    min_size=1,
    max_size=8,
)
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Kiritimati", "UTC"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=MOMENTS, zone=st.sampled_from(ZONES))
def test_a_moment_is_the_same_however_it_is_written(seconds: list[int], zone: str, tmp_path: Path) -> None:
    """In an hour that comes twice the second is meant: the one with the offset after the change."""
    aware = [datetime.fromtimestamp(s, UTC).astimezone(ZoneInfo(zone)) for s in seconds]
    truth = [moment.astimezone(UTC).replace(tzinfo=None) for moment in aware]
    naive = [moment.replace(tzinfo=None) for moment in aware]
    meant = [n.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC).replace(tzinfo=None) for n in naive]
    write(
        tmp_path,
        ms=[s * 1000 for s in seconds],
        s=[float(s) for s in seconds],
        us=[str(s * 10**6) for s in seconds],
        ns=[s * 10**9 for s in seconds],
        offset=[moment.isoformat() for moment in aware],
        tz=pa.array(aware, pa.timestamp("us", zone)),
        local=pa.array(naive, pa.timestamp("ms")),
        text=[n.isoformat(sep=" ") for n in naive],
        german=[n.strftime("%d.%m.%Y %H:%M:%S") for n in naive],
    )
    for unit in ("s", "ms", "us", "ns"):
        assert read_times(tmp_path, mapping({"column": unit, "unit": unit}, None)) == truth
    for column in ("offset", "tz"):
        assert read_times(tmp_path, mapping(column, None)) == truth
    for column in ("local", "text"):
        assert read_times(tmp_path, mapping(column, zone)) == meant
    assert read_times(tmp_path, mapping({"column": "german", "format": "%d.%m.%Y %H:%M:%S"}, zone)) == meant


def test_times_that_cannot_be_read_go_to_quarantine_as_they_came(tmp_path: Path) -> None:
    given = ["29.03.2026 12:00", "29.03.2026 02:30", "2026-03-29 12:00", "yesterday", None]
    write(tmp_path, at=given)
    chosen = mapping({"column": "at", "format": "%d.%m.%Y %H:%M"}, "Europe/Berlin", first_day=DAY)
    report = judged(tmp_path, chosen).tables["conversions"]
    assert (report.rows, report.reasons) == (1, {"event_time: not as the mapping says": 3, "event_time: missing": 1})
    bad = pq.read_table(tmp_path / "bad" / "conversions", columns=["event_time"])
    assert sorted(map(str, bad["event_time"].to_pylist())) == sorted(map(str, given[1:])), "the skipped hour among them"


def test_an_event_without_a_time_is_not_lost_in_a_file_that_is_read_by_its_statistics(tmp_path: Path) -> None:
    """It is filed under the first day, where nothing is skipped; on other days it is nobody's."""
    noon = int(datetime(2026, 3, 30, 12, tzinfo=UTC).timestamp())
    write(tmp_path, at=pa.array([noon, None], pa.int64()))
    source = ParquetLogs(tmp_path, mapping({"column": "at", "unit": "s"}, None, first_day=DAY))
    rows = {day: source.read("conversions", Window(day, day)) for day in (DAY, DAY + timedelta(days=1))}
    assert [r["conversion_id"].to_pylist() for r in rows.values()] == [["c1"], ["c0"]]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_absurd_numbers_are_no_times(unit: str, tmp_path: Path) -> None:
    write(tmp_path, at=[2**62, -(2**62)])
    chosen = mapping({"column": "at", "unit": unit}, None, first_day=DAY)
    rows = ParquetLogs(tmp_path, chosen).read("conversions", Window(DAY, DAY))
    assert rows.num_rows == 0 or set(rows["_fault"].to_pylist()) == {"event_time: not as the mapping says"}


def test_cents_are_the_nearest_number_and_texts_are_set_aside(tmp_path: Path) -> None:
    write(tmp_path, at=[f"{DAY}T10:00:00Z"] * 4, cents=["1999", "5", "12.5", "free"])
    chosen = mapping("at", None, columns={"value": {"column": "cents", "scale": 0.01}})
    report = judged(tmp_path, chosen).tables["conversions"]
    assert report.reasons == {"value: not as the mapping says": 1} and report.examples[0]["value"] == "free"
    kept = pq.read_table(tmp_path / "lake" / "conversions", columns=["value"])
    assert sorted(kept["value"].to_pylist()) == [0.05, 0.125, 19.99]


def test_values_that_are_not_listed_are_set_aside_even_where_anything_is_allowed(tmp_path: Path) -> None:
    write(tmp_path, at=[f"{DAY}T10:00:00Z"] * 4, what=["buy", "refund", None, "skip"])
    kind = {"column": "what", "values": {"buy": "purchase", "null": "other", None: "unknown", "skip": "other"}}
    report = judged(tmp_path, mapping("at", None, columns={"kind": kind})).tables["conversions"]
    assert report.reasons == {"kind: value not in the mapping": 1} and report.examples[0]["kind"] == "refund"
    kept = pq.read_table(tmp_path / "lake" / "conversions", columns=["kind"])
    assert sorted(kept["kind"].to_pylist()) == ["other", "purchase", "unknown"]


def test_whole_numbers_as_floats_join_with_integers(tmp_path: Path) -> None:
    write(tmp_path, at=[f"{DAY}T10:00:00Z"] * 2, sku=[7.0, None])
    rows = ParquetLogs(tmp_path, mapping("at", None, columns={"ad_id": "sku"})).read("conversions", Window(DAY, DAY))
    assert rows["ad_id"].to_pylist() == ["7", None]


def test_a_hash_tells_rows_apart_and_is_stable(tmp_path: Path) -> None:
    write(tmp_path, at=[f"{DAY}T10:00:00Z"] * 5, a=["a", "ab", "a", None, ""], b=["bc", "c", "bc", "x", "x"])
    chosen = mapping("at", None, columns={"conversion_id": {"hash": ["a", "b"]}})
    ids = ParquetLogs(tmp_path, chosen).read("conversions", Window(DAY, DAY))["conversion_id"].to_pylist()
    assert len(set(ids)) == 4, "twice the same row has the same id; null is not ''"
    assert judged(tmp_path, chosen).tables["conversions"].reasons == {"conversion_id: delivered twice": 1}


FLAGS = {"in": True, "out": False}
CONSENTS = [
    ({}, [True, False, None], {"u0"}),
    ({"consent": {"column": "consent", "values": FLAGS}}, ["in", "out", None, "true", "1", "yes"], {"u0"}),
    ({"consent": {"column": "consent", "values": {**FLAGS, None: False}}}, ["in", None], {"u0"}),
    ({}, ["true", "TRUE ", "granted", "2", ""], {"u0", "u1"}),
]


@pytest.mark.parametrize(("columns", "said", "agreed"), CONSENTS)
def test_consent_is_what_was_said_and_nothing_else(
    columns: dict[str, Any], said: list[Any], agreed: set[str], tmp_path: Path
) -> None:
    write(tmp_path, at=[f"{DAY}T10:00:00Z"])
    users = {"user_id": [f"u{i}" for i in range(len(said))], "consent": said}
    pq.write_table(pa.table(users), tmp_path / "u.parquet")
    table = {"files": "u.parquet", "filed_by": "static", "columns": {"updated_at": {"filing_day": True}, **columns}}
    judged(tmp_path, mapping("at", None, consent="column", users=table, first_day=DAY))
    with Lake(tmp_path / "lake").connect() as con:
        assert {row[0] for row in con.execute("SELECT user_id FROM users WHERE consent").fetchall()} == agreed


def test_an_event_that_does_not_fit_its_file_is_set_aside_under_the_files_day(tmp_path: Path) -> None:
    """Berlin's 29 March is 23:00..22:00 UTC; a delivery two days late needs to be stated."""
    times = ["2026-03-28T23:30:00Z", "2026-03-29T10:00:00Z", "2026-03-27T10:00:00Z", "1970-01-01T00:00:00Z"]
    write(tmp_path / "dt=2026-03-29", at=times)
    tables = {
        "conversions": {
            "files": "dt={date}",
            "columns": {"event_time": "at", "kind": {"constant": "p"}, "attribution": {"constant": "none"}},
        }
    }
    stated = {**BASE, **tables, "time_zone": "Europe/Berlin"}
    found = {}
    for late in (0, 2):
        stated["conversions"]["late_days"] = late
        source = ParquetLogs(tmp_path, LogMapping.model_validate(stated))
        for day in (27, 28, 29, 30):
            on = date(2026, 3, day)
            found[late, day] = source.read("conversions", Window(on, on)).num_rows
    assert found == {(0, 27): 0, (0, 28): 1, (0, 29): 3, (0, 30): 0, (2, 27): 1, (2, 28): 1, (2, 29): 2, (2, 30): 0}


def test_the_newest_state_from_before_the_first_day_counts(tmp_path: Path) -> None:
    write(tmp_path, at=[f"{DAY}T10:00:00Z"])
    rows = {
        "user_id": ["u0", "u0", "u0", "u1"],
        "region": ["old", "newer", "later", "x"],
        "consent": [True, False, True, True],
    }
    days = [DAY - timedelta(days=9), DAY - timedelta(days=2), DAY + timedelta(days=1), DAY - timedelta(days=3)]
    pq.write_table(
        pa.table({**rows, "updated_at": pa.array([datetime.combine(d, datetime.min.time()) for d in days])}),
        tmp_path / "u.parquet",
    )
    table = {"files": "u.parquet", "filed_by": "updated_at"}
    source = ParquetLogs(tmp_path, mapping("at", "UTC", consent="column", users=table, first_day=DAY))
    found = (
        source.read("users", Window(DAY, DAY + timedelta(days=3)))
        .select(["user_id", "region", "consent", "_day"])
        .to_pylist()
    )
    assert [tuple(row.values()) for row in found] == [
        ("u0", "newer", False, DAY), ("u1", "x", True, DAY), ("u0", "later", True, DAY + timedelta(days=1)),
    ]  # fmt: skip


def test_two_newest_states_are_for_the_rules_to_judge(tmp_path: Path) -> None:
    """Nobody can say which of them is right: one is used, the other set aside with its reason, not dropped."""
    write(tmp_path, at=[f"{DAY}T10:00:00Z"])
    since = [date(2025, 1, 1)] * 2
    brands = {"advertiser_id": ["a0", "a0"], "name": ["Vela", "Vela Ltd"], "vertical": ["x", "x"], "active_from": since}
    pq.write_table(pa.table(brands), tmp_path / "b.parquet")
    table = {"files": "b.parquet", "filed_by": "active_from"}
    report = judged(tmp_path, mapping("at", None, advertisers=table, first_day=DAY)).tables["advertisers"]
    assert (report.rows, report.reasons) == (1, {"advertiser_id: conflicts with another row": 1})


def test_a_register_without_a_row_in_the_window_is_empty(tmp_path: Path) -> None:
    """Every column of such advertisers is text as it stands: no value that might not be readable."""
    write(tmp_path, at=[f"{DAY}T10:00:00Z"])
    source = ParquetLogs(tmp_path, mapping("at", None))
    later = Window(DAY + timedelta(days=1), DAY + timedelta(days=2))
    assert source.read("advertisers", Window(DAY, DAY)).num_rows == 1
    assert source.read("advertisers", later).num_rows == 0
