"""What the check says about one thing at a time: causes, time zones, private values, files of a purchase log."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ml.errors import BadInput
from ml.places import AGAIN
from ml.snapshot_day import choose_day
from ml.sources.check import CheckPlan, CheckReport, check
from ml.sources.contract_logs import ContractLogs
from ml.sources.inspection.remedies import remedy_of, shown
from ml.sources.mapping import PurchaseMapping
from ml.sources.parquet_logs import ParquetLogs
from ml.sources.problem import Problem
from ml.sources.purchases import PurchaseLogs
from ml.timeline import TimelineSettings, Window
from tests.s3 import S3Server
from tests.unit.sources.sources_good_log import DAYS, FIRST, PLAN, USERS, good_logs, write_good
from tests.unit.sources.sources_layouts import HIVE, views
from tests.unit.sources.sources_small_logs import Logs, rewrite, write_logs
from tests.unit.sources.test_sources_purchases import EVENTS, ITEMS, MAPPING


def look(root: Path, logs: Logs, plan: CheckPlan = PLAN) -> CheckReport:
    return check(ContractLogs(write_logs(logs, root / "logs"), "good"), plan, root / "scratch")


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


def about(problems: list[Problem], words: str) -> Problem:
    return only([p for p in problems if words in p.what])


def test_rows_that_point_to_bad_rows_say_so(tmp_path: Path) -> None:
    logs = good_logs()
    logs["users"][FIRST][5]["consent"] = "perhaps"
    found = look(tmp_path, logs).problems
    assert "'perhaps'" in str(about(found, "consent: not a BOOLEAN").example)
    for table in ("activity", "impressions", "conversions"):
        mine = only([p for p in found if p.where.startswith(table) and "not found in users" in p.what])
        assert "rows of users that are set aside themselves: mend those first" in mine.remedy


def test_registers_that_come_late_say_so(tmp_path: Path) -> None:
    logs = good_logs()
    logs["ads"][DAYS[4]] = logs["ads"][FIRST]
    logs["ads"][FIRST] = []
    found = look(tmp_path, logs)
    late = only([p for p in found.problems if p.where.startswith("impressions") and "not found in ads" in p.what])
    assert "delivered on a later day" in late.remedy
    assert f"date={FIRST} and 3 more days" in late.where


def test_a_file_of_todays_users_has_a_way_out(tmp_path: Path) -> None:
    """Filed by its changes it comes after its users' events, filed early after its own filing day: both say how."""
    way_out = "`filed_by: static` and `updated_at: {filing_day: true}`"
    logs = good_logs()
    logs["users"][FIRST][5]["updated_at"] = f"{DAYS[4]} 10:00:00"
    assert way_out in about(look(tmp_path / "early", logs).problems, "updated_at: after its filing day").remedy
    logs["users"][DAYS[4]].append(logs["users"][FIRST].pop(5))
    late = about(look(tmp_path / "late", logs).problems, "not found in users in 4 rows of activity")
    assert "all 4 point to rows of users that are delivered on a later day" in late.remedy and way_out in late.remedy


def test_days_before_the_first_event_are_a_wrong_first_day(tmp_path: Path) -> None:
    logs = good_logs()
    for table in ("activity", "impressions", "clicks", "conversions"):
        for day in DAYS[:2]:
            logs[table][day] = []
    found = about(look(tmp_path, logs).problems, "2 of 12 days without a row")
    assert found.remedy.startswith(f"no event is older than {DAYS[2]}: set first_day to it; or deliver")
    for day in DAYS[:2]:
        logs["activity"][day] = good_logs()["activity"][day]
    clicks = [p for p in look(tmp_path / "table", logs).warnings if p.where == "clicks"]
    assert "first_day" not in only(clicks).remedy, "other logs have events then"
    logs["activity"][DAYS[1]] = []
    logs["activity"][FIRST] = good_logs()["activity"][FIRST]
    assert about(look(tmp_path / "gap", logs).problems, "empty day").remedy.startswith("deliver these days again")


@pytest.mark.parametrize(
    ("table", "reason", "words"),
    [
        ("conversions", "attribution: missing", "values: {null: none}"),
        ("users", "consent: missing", "values: {null: false}"),
        ("advertisers", "advertiser_id: delivered twice", "`derive_from: ads`"),
        ("activity", "kind: value not in the mapping", "list what that value means under activity.columns.kind.values"),
        ("activity", "event_id: conflicts with another row", "give every row of activity its own event_id;"),
    ],
)
def test_remedies_name_the_field_to_mend(table: str, reason: str, words: str) -> None:
    assert words in remedy_of(table, reason)


def test_rows_of_an_unreadable_file_are_not_blamed(tmp_path: Path) -> None:
    root = write_good(tmp_path / "logs")
    (root / "users" / f"date={FIRST}" / "part-0.parquet").write_bytes(b"PAR1")
    report = check(ContractLogs(root, "good"), PLAN, tmp_path / "scratch")
    assert "unreadable" in only(report.problems).what
    assert report.splits is None
    assert any("rows point to rows that could not be read" in note for note in report.notes)


def test_a_file_broken_in_the_middle_is_named(tmp_path: Path) -> None:
    root = write_good(tmp_path / "logs")
    path = root / "activity" / f"date={DAYS[4]}" / "part-0.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 400 + whole[404:])  # its footer is as it was
    found = only(check(ContractLogs(root, "good"), PLAN, tmp_path / "scratch").problems)
    assert found.where == str(path) and "unreadable" in found.what


def test_days_cut_in_local_time_are_recognised(tmp_path: Path) -> None:
    logs = good_logs()
    for day in DAYS:
        for row in logs["activity"][day][:3]:
            row["event_time"] = f"{day - timedelta(days=1)} 22:30:00"
    found = about(look(tmp_path, logs).problems, "not on its filing day")
    assert "time zone ahead of UTC" in found.remedy


def test_a_log_in_local_time_is_recognised(tmp_path: Path) -> None:
    logs = good_logs()
    for day in DAYS:
        for table, start, key in (("activity", 2, "event_id"), ("impressions", 8, "impression_id")):
            again = [dict(row) for row in logs[table][day] * 4]
            for i, row in enumerate(again):
                row |= {key: f"{row[key]}-{i}", "event_time": f"{day} {start + i % 8:02d}:00:00"}
            logs[table][day] += again
    warned = about(look(tmp_path, logs).warnings, "is one of them in local time?")
    assert warned.where in ("activity", "impressions")
    assert warned.column == "event_time"


def test_clicks_before_their_impression_are_recognised(tmp_path: Path) -> None:
    logs = good_logs()
    for rows in logs["clicks"].values():
        for row in rows:
            row["event_time"] = str(datetime.fromisoformat(row["event_time"]) - timedelta(hours=2))
    warned = about(look(tmp_path, logs).warnings, "before their impression")
    assert "by 2.0 h" in warned.what


def test_only_midnights_are_recognised(tmp_path: Path) -> None:
    logs = good_logs()
    for day, rows in logs["activity"].items():
        for row in rows:
            row["event_time"] = str(day)
    assert about(look(tmp_path, logs).warnings, "every time is midnight").where == "activity"


def test_few_bad_rows_only_warn(tmp_path: Path) -> None:
    logs = good_logs()
    logs["activity"][DAYS[1]] += [
        {**row, "event_id": f"{row['event_id']}-{i}"} for i in range(20) for row in logs["activity"][DAYS[1]]
    ]
    logs["activity"][DAYS[1]][0]["kind"] = "hover"
    report = look(tmp_path, logs)
    assert report.problems == []
    assert "'hover'" in str(about(report.warnings, "kind: not one of").example)


@pytest.mark.parametrize("absent", ["activity", "impressions", "clicks"])
def test_absent_tables_are_noted(tmp_path: Path, absent: str) -> None:
    logs = good_logs()
    del logs[absent]
    if absent == "impressions":
        del logs["clicks"]
        for rows in logs["conversions"].values():
            for row in rows:
                row["impression_id"] = None
    report = look(tmp_path, logs)
    assert report.problems == []
    assert any(note.startswith(f"No {absent}") for note in report.notes)


def test_every_missing_table_is_named(tmp_path: Path) -> None:
    logs = good_logs()
    for name in ("users", "ads"):
        del logs[name]
    found = look(tmp_path, logs).problems
    assert {p.what for p in found} == {"no table 'users'", "no table 'ads'"}


def test_too_short_a_log_names_the_days_it_lacks() -> None:
    lengths = TimelineSettings(label_window_days=7, outcome_days=7, ranker_days=10, calibration_days=4)
    with pytest.raises(BadInput) as caught:
        choose_day(Window(DAYS[0], DAYS[-1]), lengths)
    assert "12 days of logs are too few: the splits of the Timeline need 36" in caught.value.what
    assert "deliver 24 more days" in caught.value.remedy
    longer = Window(DAYS[0], DAYS[-1] + timedelta(days=24))
    assert choose_day(longer, lengths).as_of == longer.last - timedelta(days=14)
    with pytest.raises(BadInput):
        choose_day(Window(DAYS[0], longer.last - timedelta(days=1)), lengths)


PRIVATE = [
    "ann@example.org",
    "https://example.org/?q=1",
    "www.shop.example",
    "+49 170 1234567",
    "to rome",
]


@pytest.mark.parametrize("value", PRIVATE)
def test_private_values_are_not_shown(tmp_path: Path, value: str) -> None:
    logs = good_logs()
    for day in DAYS[3:5]:
        logs["activity"][day][0] |= {"kind": value}
        logs["activity"][day][1] |= {"event_time": value}
        logs["conversions"][day][1] |= {"value": value}
        logs["conversions"][day][2] |= {"advertiser_id": value}
        logs["conversions"][day][3] |= {"user_id": value, "conversion_id": value}
    report = look(tmp_path, logs)
    said = str([*report.problems, *report.warnings])
    assert len(report.problems) >= 5
    assert value not in said
    assert "not shown" in said


@pytest.mark.parametrize(
    ("column", "value", "true"),
    [
        ("event_time", "2026-13-01 10:00:00", "'2026-13-01 10:00:00'"),
        ("event_time", "1772323200", "'1772323200'"),
        ("event_time", "March 33, 2026 10:00 AM", "'March 33, 2026 10:00 AM'"),
        ("event_time", "call ann", "(not shown: text of 8 characters)"),
        ("conversion_id", "v-000123456789", "'v-000123456789'"),
        ("value", "12,50", "'12,50'"),
        ("attribution", "last_click", "'last_click'"),
    ],
)
def test_other_values_are_shown(column: str, value: str, true: str) -> None:
    from ml.sources.contract import TABLES

    assert shown(TABLES["conversions"], column, value) == true


def purchases(root: Path, **changes: Any) -> PurchaseLogs:
    mapping = MAPPING | {"users": {"file": "u.csv", "user": "who", "consent": "agreed"}} | changes
    return PurchaseLogs(root, PurchaseMapping.model_validate(mapping))


def test_every_missing_file_and_column_of_a_purchase_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(EVENTS.replace("who,day,n", "whom,day,nr"))
    (tmp_path / "i.csv").write_bytes(b"")
    report = check(purchases(tmp_path), PLAN, tmp_path / "scratch")
    found = [(Path(p.where).name, p.what.split(";")[0].split(",")[0], p.column) for p in report.problems]
    assert found == [
        ("e.csv", "no column 'who'", "who"),
        ("e.csv", "no column 'n'", "n"),
        ("i.csv", "no header line with a name for every column", None),
        ("u.csv", "no such file", None),
    ]
    assert report.problems[0].example == "the file has 'whom'"


def test_unreadable_days_of_a_purchase_log_are_counted(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(EVENTS + "bob,soon,1,p1,Vela\nbob,later,1,p1,Vela\n")
    (tmp_path / "i.csv").write_text(ITEMS)
    (tmp_path / "u.csv").write_text("who,agreed\nann,yes\nbob,no\n")
    plan = replace(PLAN, limits=replace(PLAN.limits, sparse=True), days_only=True)
    report = check(purchases(tmp_path), plan, tmp_path / "scratch")
    bad = about(report.problems, "event_time: not a TIMESTAMP")
    assert "in 2 rows" in bad.what
    assert report.users and (report.users.users, report.users.consenting) == (2, 1)


def test_users_are_counted(tmp_path: Path) -> None:
    facts = look(tmp_path, good_logs()).users
    assert facts and (facts.users, facts.consenting, facts.with_events) == (USERS, USERS - 1, USERS - 1)


class Silent(ContractLogs):
    """A storage that stops answering at the third read."""

    reads = 0

    def sound(self) -> Silent:
        return self

    def read(self, table: str, window: Window) -> pa.Table:
        Silent.reads += 1
        if Silent.reads > 2:
            raise BadInput("the S3 server did not answer in time", where="s3://bucket", remedy=AGAIN)
        return super().read(table, window)


def test_a_storage_that_stops_answering_is_asked_once(tmp_path: Path) -> None:
    Silent.reads = 0
    report = check(Silent(write_good(tmp_path / "logs"), "good"), PLAN, tmp_path / "scratch")
    assert only(report.problems).where == "s3://bucket"
    assert Silent.reads == 3


def own_logs(root: Path) -> ParquetLogs:
    with views(write_good(root / "contract")) as con:
        HIVE.write(con, root / "logs")
    return ParquetLogs(root / "logs", HIVE.mapping(first_day=FIRST, last_day=DAYS[-1]))


def test_own_logs_through_a_mapping(tmp_path: Path) -> None:
    report = check(own_logs(tmp_path), PLAN, tmp_path / "scratch")
    assert report.problems == []
    assert report.splits and report.splits.test.labelled_users == USERS - 1


def test_own_logs_say_all_at_once(tmp_path: Path) -> None:
    source = own_logs(tmp_path)
    raw = tmp_path / "logs" / "raw"
    shutil.rmtree(raw / "clicks")
    impressions = next((raw / "impressions" / f"dt={DAYS[3]}").glob("*.parquet"))
    activity = next((raw / "activity" / f"dt={DAYS[3]}").glob("*.parquet"))
    rewrite(impressions, lambda rows: rows.drop_columns(["surface"]))
    kinds = pa.array(["hover"] * USERS, pa.string())
    rewrite(activity, lambda rows: rows.set_column(rows.schema.get_field_index("kind"), "kind", kinds))
    found = check(source, PLAN, tmp_path / "scratch").problems
    assert "clicks" in about(found, "no such file for table clicks").where
    assert about(found, "no column 'surface'").where.endswith(str(impressions.relative_to(tmp_path)))
    assert "'hover'" in str(about(found, "kind: not one of").example)
    assert len(found) == 3


def test_a_wrong_data_is_no_wrong_first_day(tmp_path: Path) -> None:
    """Files that are not there are the problem, not that there is no event in them."""
    (tmp_path / "contract").mkdir()
    found = check(ParquetLogs(tmp_path, HIVE.mapping(first_day=FIRST)), PLAN, tmp_path / "scratch").problems
    assert len(found) == 7 and all(p.what.startswith("no such file for table") for p in found)


def test_logs_on_s3_are_checked_there(tmp_path: Path, s3: S3Server) -> None:
    write_good(tmp_path / "logs")
    path = tmp_path / "logs" / "clicks" / f"date={DAYS[4]}" / "part-0.parquet"
    path.write_bytes(path.read_bytes()[:50])
    s3.put_directory(tmp_path / "logs", place := f"{s3.bucket()}/logs")
    report = check(ContractLogs(place, "far"), PLAN, tmp_path / "scratch")
    assert only(report.problems).where == f"{place}/clicks/date={DAYS[4]}/part-0.parquet"
    assert report.users and report.users.consenting == USERS - 1
    gone = check(ContractLogs(f"{s3.bucket()}-gone/logs", "far"), PLAN, tmp_path / "again")
    assert "no such bucket" in only(gone.problems).what
