"""Every reason for quarantine, by construction; and nothing is lost, whatever is broken."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.lake import Lake
from ml.sources.contract import TABLES
from ml.sources.contract_logs import ContractLogs
from ml.sources.ingest import IngestReport, ingest
from ml.timeline import Window
from tests.contracts.source_contract import broken_rules, content, rows_of
from tests.unit.sources.sources_small_logs import DAYS, WINDOW, Logs, Row, rewrite, small_logs, write_logs

Case = tuple[str, dict[str, Any], str]
CASES: list[Case] = [
    ("activity", {"event_id": None}, "event_id: missing"),
    ("activity", {"user_id": "  "}, "user_id: missing"),
    ("activity", {"event_time": None}, "event_time: missing"),
    ("activity", {"event_time": "yesterday"}, "event_time: not a TIMESTAMP"),
    ("activity", {"event_time": "infinity"}, "event_time: not a TIMESTAMP"),
    ("activity", {"event_time": f"{DAYS[0]} 08:00:00"}, "event_time: not on its filing day"),
    ("activity", {"event_time": f"{DAYS[1]} 01:00:00+02:00"}, "event_time: not on its filing day"),
    ("activity", {"kind": "scroll"}, "kind: not one of search, visit, save"),
    ("activity", {"advertiser_id": "nobody"}, "advertiser_id: not found in advertisers"),
    ("activity", {"user_id": "stranger"}, "user_id: not found in users"),
    ("impressions", {"position": "first"}, "position: not a BIGINT"),
    ("impressions", {"position": "1.5"}, "position: not a BIGINT"),
    ("impressions", {"position": "-1"}, "position: below 0"),
    ("impressions", {"propensity": "1.01"}, "propensity: above 1"),
    ("impressions", {"bid": "NaN"}, "bid: not a finite number"),
    ("impressions", {"bid": "much"}, "bid: not a DOUBLE"),
    ("impressions", {"ad_id": "nothing"}, "ad_id: not found in ads"),
    ("clicks", {"impression_id": "nothing"}, "impression_id: not found in impressions"),
    ("conversions", {"known_at": f"{DAYS[1]} 09:59:59"}, "known_at: before event_time"),
    ("conversions", {"attribution": "luck"}, "attribution: not one of click, view, none"),
    ("users", {"consent": "2"}, "consent: not a BOOLEAN"),
    ("users", {"consent": None}, "consent: missing"),
    ("users", {"updated_at": f"{DAYS[2]} 00:00:00"}, "updated_at: after its filing day"),
    ("advertisers", {"active_from": "spring"}, "active_from: not a DATE"),
    ("ads", {"advertiser_id": "nobody"}, "advertiser_id: not found in advertisers"),
    ("ads", {"category": ""}, "category: missing"),
]


def run(logs: Logs, root: Path, window: Window = WINDOW, **settings: Any) -> tuple[IngestReport, Lake, Lake]:
    source = ContractLogs(write_logs(logs, root / "logs"), "small")
    lake, quarantine = Lake(root / "lake"), Lake(root / "quarantine")
    return ingest(source, window, lake, quarantine.root, sparse=False, **settings), lake, quarantine


def extra_row(logs: Logs, table: str, key: str = "extra") -> Row:
    """A good row more on the second day, with a key of its own."""
    of_day = next(logs[table][day] for day in (DAYS[1], DAYS[0]) if logs[table][day])
    row = of_day[0] | {TABLES[table].key: key}
    logs[table][DAYS[1]].append(row)
    return row


def reasons(report: IngestReport) -> dict[str, dict[str, int]]:
    return {name: table.reasons for name, table in report.tables.items() if table.reasons}


def test_good_rows_all_pass(tmp_path: Path) -> None:
    logs = small_logs()
    for table in TABLES:
        extra_row(logs, table)
    report, lake, _ = run(logs, tmp_path)
    assert reasons(report) == {}
    assert report.tables["impressions"].rows_by_day == {DAYS[0]: 3, DAYS[1]: 4, DAYS[2]: 3}
    assert report.tables["ads"].rows_by_day == {DAYS[0]: 2, DAYS[1]: 1, DAYS[2]: 0}
    assert broken_rules(lake) == []


def broken_row(logs: Logs, case: int) -> Row:
    """The row of one of CASES: good but for what the case says, with a key that no other row has."""
    table, broken, _ = CASES[case]
    return extra_row(logs, table, key=f"extra{case}") | broken


@pytest.fixture(scope="module")
def all_broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[IngestReport, Lake, Lake]:
    """One delivery with the broken rows of all CASES on its second day."""
    logs = small_logs()
    rows = [(table, broken_row(small_logs(), case)) for case, (table, _, _) in enumerate(CASES)]
    for table, row in rows:
        logs[table][DAYS[1]].append(row)
    return run(logs, tmp_path_factory.mktemp("broken"))


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{table}-{reason}" for table, _, reason in CASES])
def test_reason(case: int, all_broken: tuple[IngestReport, Lake, Lake]) -> None:
    table, _, reason = CASES[case]
    _, _, quarantine = all_broken
    set_aside = pq.ParquetFile(quarantine.path(table, DAYS[1])).read()
    assert {field.type for field in set_aside.drop_columns("_day").schema} == {pa.string()}
    expected = dict.fromkeys(TABLES[table].column_names) | broken_row(small_logs(), case)
    assert expected | {"reason": reason, "_day": DAYS[1]} in set_aside.to_pylist()


def test_reasons_are_counted_and_only_the_broken_rows_are_set_aside(
    all_broken: tuple[IngestReport, Lake, Lake],
) -> None:
    report, lake, _ = all_broken
    for table, found in report.tables.items():
        mine = Counter(reason for name, _, reason in CASES if name == table)
        assert (found.reasons, found.quarantined) == (dict(mine), mine.total())
        assert found.quarantined_by_day == {DAYS[0]: 0, DAYS[1]: mine.total(), DAYS[2]: 0}
    assert broken_rules(lake) == []


def test_what_refers_to_a_bad_row_goes_with_it(tmp_path: Path) -> None:
    logs = small_logs()
    logs["impressions"][DAYS[0]][0]["position"] = "?"
    report, _, _ = run(logs, tmp_path)
    gone = {"impression_id: not found in impressions": 1}
    assert reasons(report) == {"impressions": {"position: not a BIGINT": 1}, "clicks": gone, "conversions": gone}


def test_reference_to_a_later_day_is_none(tmp_path: Path) -> None:
    logs = small_logs()
    logs["users"][DAYS[2]].append(logs["users"][DAYS[0]].pop(0))
    report, _, _ = run(logs, tmp_path)
    assert report.tables["activity"].reasons == {"user_id: not found in users": 2}
    assert report.tables["activity"].rows_by_day[DAYS[2]] == 3


def test_delivered_twice_and_conflict_differ(tmp_path: Path) -> None:
    logs = small_logs()
    rows = logs["conversions"][DAYS[1]]
    rows += [dict(rows[0]), rows[1] | {"value": "99"}]
    report, lake, _ = run(logs, tmp_path)
    expected = {"conversion_id: delivered twice": 1, "conversion_id: conflicts with another row": 1}
    assert reasons(report) == {"conversions": expected}
    kept = pq.ParquetFile(lake.path("conversions", DAYS[1])).read()
    assert kept["value"].to_pylist() == [20, 20, 20]


@pytest.mark.parametrize("chunk_days", [1, 7])
def test_a_key_is_unique_over_all_days(chunk_days: int, tmp_path: Path) -> None:
    logs = small_logs()
    logs["clicks"][DAYS[2]][0]["click_id"] = logs["clicks"][DAYS[0]][0]["click_id"]
    report, _, quarantine = run(logs, tmp_path, chunk_days=chunk_days)
    assert reasons(report) == {"clicks": {"click_id: conflicts with another row": 1}}
    assert quarantine.days("clicks") == [DAYS[2]]


def test_a_bad_row_does_not_displace_a_good_one_of_its_key(tmp_path: Path) -> None:
    logs = small_logs()
    rows = logs["conversions"][DAYS[0]]
    rows.insert(0, rows[0] | {"attribution": "luck", "user_id": "u0"})
    report, lake, _ = run(logs, tmp_path)
    assert reasons(report) == {"conversions": {"attribution: not one of click, view, none": 1}}
    assert rows_of(lake, "conversions") == 9


def test_registers_may_change_but_not_twice_in_a_moment(tmp_path: Path) -> None:
    logs = small_logs()
    first = logs["users"][DAYS[0]][0]
    withdrawn = first | {"consent": "false", "region": "west"}
    logs["users"][DAYS[0]] += [withdrawn, first | {"updated_at": f"{DAYS[0]} 12:00:00", "region": "south"}]
    logs["ads"][DAYS[1]] = [dict(logs["ads"][DAYS[0]][0])]
    report, lake, _ = run(logs, tmp_path)
    assert reasons(report) == {"users": {"user_id: conflicts with another row": 1}}
    kept = pq.ParquetFile(lake.path("users", DAYS[0])).read().to_pylist()
    # Of two contradicting rows of one moment, the one without consent.
    mine = {(row["consent"], row["region"]) for row in kept if row["user_id"] == "u0"}
    assert mine == {(False, "west"), (True, "south")}


def test_backlog_partition_takes_history_but_no_future(tmp_path: Path) -> None:
    logs = small_logs()
    extra = extra_row(logs, "conversions")
    logs["conversions"][DAYS[1]].remove(extra)
    old = extra | {"conversion_id": "old", "event_time": "2019-05-05 05:05:05", "known_at": None, "impression_id": None}
    logs["conversions"][DAYS[0]] += [old, old | {"conversion_id": "late", "event_time": f"{DAYS[1]} 00:00:00"}]
    source = ContractLogs(write_logs(logs, tmp_path / "logs"), "small")
    source.backlog_day = DAYS[0]  # type: ignore[attr-defined]
    report = ingest(source, WINDOW, Lake(tmp_path / "lake"), tmp_path / "quarantine", sparse=False)
    assert reasons(report) == {"conversions": {"event_time: not on its filing day": 1}}
    assert report.tables["conversions"].rows_by_day[DAYS[0]] == 4


def test_times_with_an_offset_become_utc(tmp_path: Path) -> None:
    logs = small_logs()
    logs["activity"][DAYS[1]][0]["event_time"] = f"{DAYS[1]}T05:30:00+05:30"
    _, lake, _ = run(logs, tmp_path)
    first = pq.ParquetFile(lake.path("activity", DAYS[1])).read()["event_time"][0].as_py()
    assert first == datetime.combine(DAYS[1], datetime.min.time())


def test_a_missing_nullable_column_is_null_and_an_unknown_one_ignored(tmp_path: Path) -> None:
    root = write_logs(small_logs(), tmp_path / "logs")
    for day in DAYS:
        rewrite(root / "impressions" / f"date={day}" / "part-0.parquet", lambda t: t.drop_columns(["bid"]))
    rewrite(
        root / "clicks" / f"date={DAYS[0]}" / "part-0.parquet",
        lambda t: t.append_column("campaign", pa.array(["x"] * t.num_rows)),
    )
    lake = Lake(tmp_path / "lake")
    report = ingest(ContractLogs(root, "small"), WINDOW, lake, tmp_path / "quarantine", sparse=False)
    assert reasons(report) == {}
    assert broken_rules(lake) == []
    assert pq.ParquetFile(lake.path("impressions", DAYS[1])).read()["bid"].null_count == 3


def test_ingesting_a_mended_day_again_empties_its_quarantine(tmp_path: Path) -> None:
    logs = small_logs()
    logs["conversions"][DAYS[1]][0]["value"] = "-3"
    _, lake, quarantine = run(logs, tmp_path)
    assert quarantine.days("conversions") == [DAYS[1]]
    report, _, _ = run(small_logs(), tmp_path, Window(DAYS[1], DAYS[1]))
    assert reasons(report) == {}
    assert quarantine.days("conversions") == []
    run(small_logs(), tmp_path / "clean")
    assert [*content(lake.root).values()] == [*content(tmp_path / "clean" / "lake").values()]


def test_examples_are_few_varied_and_without_private_words(tmp_path: Path) -> None:
    logs = small_logs()
    for row in logs["activity"][DAYS[0]] + logs["activity"][DAYS[1]]:
        row["kind"] = "scroll"
    logs["activity"][DAYS[2]][0]["user_id"] = "stranger"
    examples = run(logs, tmp_path, chunk_days=1)[0].tables["activity"].examples
    assert len(examples) == 5
    assert {row["reason"].split(":")[0] for row in examples} == {"kind", "user_id"}
    assert all("text" not in row and "url" not in row for row in examples)


CELLS = st.one_of(
    st.none(),
    st.sampled_from(["", " ", "x", "-1", "0", "1", "1.5", "1e400", "nan", "true", "u1", "x1", "a1", "none", "visit"]),
    st.sampled_from([f"{day} {time}" for day in DAYS for time in ("00:00:00", "10:30:00+03:00")]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
)


@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_broken_cells_lose_no_row_and_let_none_through(data: st.DataObject) -> None:
    logs = small_logs()
    rows = [(name, day, row) for name, by_day in logs.items() for day, found in by_day.items() for row in found]
    for name, day, row in data.draw(st.lists(st.sampled_from(rows), max_size=20)):
        row[data.draw(st.sampled_from(TABLES[name].column_names))] = data.draw(CELLS)
        if data.draw(st.booleans()):
            logs[name][day].append(dict(row))
    with tempfile.TemporaryDirectory() as folder:
        report, lake, quarantine = run(logs, Path(folder), chunk_days=data.draw(st.sampled_from([2, 7])))
        for name, by_day in logs.items():
            delivered = sum(map(len, by_day.values()))
            assert delivered == rows_of(lake, name) + rows_of(quarantine, name) == report.tables[name].rows_in
            assert sum(report.tables[name].reasons.values()) == rows_of(quarantine, name)
        assert broken_rules(lake) == []
        for name, by_day in logs.items():
            for day, delivered_rows in by_day.items():
                assert_unchanged(pq.ParquetFile(lake.path(name, day)).read().to_pylist(), delivered_rows, name, day)


def assert_unchanged(written: list[Row], delivered: list[Row], name: str, day: date) -> None:
    """What was written was delivered: the same texts, and a value wherever there was one."""

    def outline(row: Row) -> tuple[Any, ...]:
        return tuple(row.get(c.name) if c.type == "VARCHAR" else row.get(c.name) is None for c in TABLES[name].columns)

    assert {outline(row) for row in written} <= {outline(row) for row in delivered}, (name, day)
