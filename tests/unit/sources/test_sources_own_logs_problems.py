"""Everything wrong with own logs and their mapping is named at once, with file, column and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.errors import BadInput
from ml.sources.log_mapping import load_log_mapping
from ml.sources.parquet_logs import ParquetLogs
from ml.timeline import Window
from tests.unit.sources.sources_layouts import FLAT, HIVE, views
from tests.unit.sources.sources_small_logs import DAYS, FIRST, small_logs, write_logs


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    with views(write_logs(small_logs(), tmp_path / "contract")) as con:
        FLAT.write(con, tmp_path / "logs")
    return tmp_path / "logs"


def source(root: Path, **more: Any) -> ParquetLogs:
    return ParquetLogs(root, FLAT.mapping(first_day=FIRST, last_day=DAYS[-1], **more))


def changed(table: str, columns: dict[str, Any]) -> dict[str, Any]:
    given = FLAT.tables[table]
    return {table: {**given, "columns": {**given["columns"], **columns}}}


def test_sound_logs_have_none(flat: Path) -> None:
    assert source(flat).problems() == []


def test_all_at_once(flat: Path) -> None:
    (flat / "advertisers.parquet").unlink()
    (flat / "ads.parquet").write_bytes(b"PAR1 broken")
    broken = {
        **changed("users", {"region": "country", "gender": "sexes"}),
        **changed("activity", {"event_time": "ts"}),
        **changed("impressions", {"event_time": {"column": "shown", "format": "%Y/%m/%d"}}),
        **changed("conversions", {"attribution": {"column": "how", "values": {"7": "click"}}}),
    }
    found = source(flat, **broken).problems()
    assert [(Path(p.where.split(",")[0]).name, p.column) for p in found] == [
        ("advertisers.parquet", None),
        ("ads.parquet", None),
        ("users.parquet", "gender"),
        ("users.parquet", "region"),
        ("activity.parquet", "ts"),
        ("impressions.parquet", "shown"),
        ("conversions.parquet", "how"),
    ]
    assert found[0].what.startswith("no such file for table advertisers; there are activity.parquet, ads.parquet")
    assert found[1].what.startswith("unreadable file")
    assert "unit: s|ms|us|ns" in found[4].remedy
    assert found[5].example == "99.99.9999 99:99:99", "the shape, not the value"
    assert all(p.remedy for p in found)


def test_what_is_named_stops_a_read(flat: Path) -> None:
    broken = source(flat, **changed("conversions", {"value": "price"}))
    with pytest.raises(BadInput, match=r"no column 'price' for conversions\.value; the file has c, member, brand"):
        broken.read("conversions", Window(FIRST, FIRST))
    assert broken.read("clicks", Window(FIRST, FIRST)).num_rows == 3, "other tables can be read"


def test_a_table_without_files_does_not_hide_the_others(flat: Path) -> None:
    (flat / "clicks.parquet").unlink()
    mine = source(flat)
    assert mine.window() == Window(FIRST, DAYS[-1]) and mine.read("impressions", Window(FIRST, FIRST)).num_rows == 3
    with pytest.raises(BadInput, match="no such file for table clicks"):
        mine.read("clicks", Window(FIRST, FIRST))


def test_a_wrong_data_is_no_wrong_first_day(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a\n1\n")
    with pytest.raises(BadInput, match=r"no such file for table activity; there are other\.csv"):
        ParquetLogs(tmp_path, FLAT.mapping(first_day=FIRST)).window()


def test_naive_times_need_a_zone(flat: Path) -> None:
    found = source(flat, time_zone=None).problems()
    assert {p.column for p in found} == {"changed", "at", "shown"}
    assert any("no time zone is stated" in p.what for p in found)


def test_a_column_that_many_files_lack_is_one_problem(tmp_path: Path) -> None:
    with views(write_logs(small_logs(), tmp_path / "contract")) as con:
        HIVE.write(con, tmp_path / "logs")
    tables = {"activity": {"files": "raw/activity/dt={date}", "columns": {"text": "search_text"}}}
    found = ParquetLogs(tmp_path / "logs", HIVE.mapping(first_day=FIRST, **tables)).problems()
    assert [p.column for p in found] == ["text"]


def test_a_column_that_only_older_files_lack_is_null_there(tmp_path: Path) -> None:
    with views(write_logs(small_logs(), tmp_path / "contract")) as con:
        HIVE.write(con, tmp_path / "logs")
        old = next((tmp_path / "logs" / "raw" / "activity").glob("dt=2026-03-01/*.parquet"))
        con.execute(f"COPY (SELECT * EXCLUDE (text) FROM '{old}') TO '{old}.new' (FORMAT PARQUET)")
        Path(f"{old}.new").replace(old)
    tables = {"activity": {"files": "raw/activity/dt={date}", "columns": {"text": "text"}}}
    mine = ParquetLogs(tmp_path / "logs", HIVE.mapping(first_day=FIRST, last_day=DAYS[-1], **tables))
    assert mine.problems() == []
    rows = mine.read("activity", Window(FIRST, DAYS[-1]))
    assert rows["text"].null_count == 3 and rows.num_rows == 9


def test_another_separator_is_one_problem_and_named(flat: Path) -> None:
    (flat / "users.csv").write_text("member;age;sex;place;opted;changed\nm1;25-34;f;north;in;2026-03-01 10:00\n")
    block = {**FLAT.tables["users"], "files": "users.csv"}
    found = source(flat, users=block).problems()
    assert [(p.what, p.column) for p in found] == [("separated by ';', not by ','", None)]
    assert found[0].remedy == 'give users its separator: delimiter: ";"'
    assert source(flat, users={**block, "delimiter": ";"}).problems() == []


@pytest.mark.parametrize(
    ("unit", "year", "remedy"), [("s", "years 58133", "unit: ms"), ("us", "year 1970", "unit: ms")]
)
def test_numbers_read_with_the_wrong_unit_are_no_silent_loss(unit: str, year: str, remedy: str, flat: Path) -> None:
    """Read so they lie outside first_day..last_day, where events are not read: the table would be empty."""
    found = source(flat, **changed("activity", {"event_time": {"column": "ts", "unit": unit}})).problems()
    assert [p.column for p in found] == ["ts"]
    assert f"with unit {unit} the first 9 values of column 'ts' lie in the {year}" in found[0].what
    assert remedy in found[0].remedy


def test_a_format_that_fits_is_proposed(flat: Path) -> None:
    found = source(flat, **changed("impressions", {"event_time": {"column": "shown"}})).problems()
    assert [p.column for p in found] == ["shown"]
    assert 'format: "%d.%m.%Y %H:%M:%S"' in found[0].remedy


def test_the_same_values_in_the_first_and_the_last_file_are_one_problem(tmp_path: Path) -> None:
    with views(write_logs(small_logs(), tmp_path / "contract")) as con:
        HIVE.write(con, tmp_path / "logs")
    given = HIVE.tables["conversions"]
    wrong = {**given, "columns": {**given.get("columns", {}), "attribution": {"column": "attribution", "values": {}}}}
    found = ParquetLogs(tmp_path / "logs", HIVE.mapping(first_day=FIRST, conversions=wrong)).problems()
    assert len(found) == len({p.column for p in found}) == 1


def test_a_column_that_one_origin_of_a_derived_table_lacks(flat: Path) -> None:
    """What the table is derived from is at fault, not its spelling."""
    block = {"derive_from": ["ads", "conversions"], "columns": {"advertiser_id": "brand", "vertical": "topic"}}
    found = source(flat, advertisers=block).problems()
    assert [p.column for p in found] == ["vertical"]
    assert found[0].remedy == (
        "advertisers is derived from conversions as well: leave conversions out of advertisers.derive_from, or set "
        "advertisers.columns.vertical to a column or constant that fits all"
    )


def users(consent: Any) -> dict[str, Any]:
    return {"users": {"files": "u.csv", "filed_by": "static", "columns": {"consent": consent}}}


MAPPING: dict[str, Any] = {
    "name": "mine",
    "consent": "granted_by_source",
    "first_day": FIRST,
    "advertisers": {"derive_from": "conversions", "columns": {"vertical": {"constant": "all"}}},
    "ads": {"files": "ads.csv", "filed_by": "static"},
    "users": {"derive_from": "conversions"},
    "conversions": {"files": "c.csv", "columns": {}},
}
WRONG = [
    ({"consent": "yes"}, ["consent: Input should be 'column', 'granted_by_source' or 'list'", "(value: 'yes')"]),
    ({"consent": "list"}, ["`consent: list` and `consent_list` go together"]),
    ({"consent": "column"}, ["users.derive_from: `consent: column` needs users from files"]),
    ({"time_zone": "Berlin"}, ["unknown time zone; is it Europe/Berlin? (value: 'Berlin')"]),
    ({"last_day": "2026-01-01"}, ["last_day lies before first_day"]),
    (
        {"users": {"files": "u.csv"}},
        ["users.filed_by: must be stated: since when is a row known? static", "updated_at"],
    ),
    (users({"column": "c"}), ["users.columns.consent: not with `consent: granted_by_source`"]),
    ({"consent": "column"} | users({"constant": True}), ["users.columns.consent: must come from a column"]),
    (
        {"consent": "column"} | users({"column": "c", "values": {None: True}}),
        ["nothing said) can only become false"],
    ),
    ({"clicks": {"derive_from": "conversions"}}, ["clicks.derive_from: only advertisers, ads and users"]),
    ({"ads": {"files": "../ads.csv", "filed_by": "static"}}, ["ads.files: must be a path relative to DATA, below it"]),
    ({"ads": {"files": "ads/{day}.csv"}}, ["ads.files: give {date}, or {year}, {month} and {day}"]),
    ({"ads": {"files": "a.csv", "filed_by": "partition"}}, ["ads.filed_by: partition needs a {date}"]),
    ({"conversions": {"files": "c.csv", "columns": {"user": "u"}}}, ["conversions.columns.user: unknown column"]),
    ({"conversions": {"files": "c.csv", "columns": {"user_id": None}}}, ["user_id: null, but the contract requires"]),
    (
        {"conversions": {"files": "c.csv", "columns": {"value": {"column": "v", "unit": "ms"}}}},
        ["conversions.columns.value: unit, format and time_zone are for times, this is a DOUBLE"],
    ),
    (
        {"conversions": {"files": "c.csv", "columns": {"attribution": {"constant": "last"}}}},
        ["conversions.columns.attribution: 'last' is not one of click, view, none"],
    ),
    (
        {"conversions": {"files": "c.csv", "columns": {"event_time": {"column": "t", "format": "%Q"}}}},
        ["conversions.columns.event_time: '%Q' is no strptime format, such as \"%d.%m.%Y"],
    ),
    (
        {"impresions": {"files": "i.csv"}},
        ["unknown field 'impresions'", "write impressions for impresions; known fields"],
    ),
    ({"conversions": {"file": "c.csv"}}, ["unknown field 'conversions.file'", "known fields here: files, derive_from"]),
]


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_a_wrong_mapping_names_the_field_and_what_belongs_there(
    change: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(yaml.safe_dump(MAPPING))
    load_log_mapping(path)
    path.write_text(yaml.safe_dump({**MAPPING, **change}))
    with pytest.raises(BadInput) as raised:
        load_log_mapping(path)
    assert raised.value.where == str(path)
    for word in words:
        assert word in str(raised.value)


def test_a_tab_in_the_yaml_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text("ads:\n\tfiles: ads.csv\n")
    with pytest.raises(BadInput, match=r"(?s)at line 2, column 1.*indent with spaces, never with tabs") as raised:
        load_log_mapping(path)
    assert "unicode string" not in str(raised.value)


def test_a_day_may_be_a_constant(tmp_path: Path) -> None:
    """YAML reads 2026-03-01 as a day, not as text."""
    path = tmp_path / "mapping.yaml"
    since = {"advertisers": {"files": "a.csv", "filed_by": "static", "columns": {"active_from": {"constant": FIRST}}}}
    path.write_text(yaml.safe_dump({**MAPPING, **since}))
    given = load_log_mapping(path).advertisers[0].columns["active_from"]
    assert given is not None and given.constant == FIRST.isoformat()


def test_yes_and_no_are_words_and_no_flags(tmp_path: Path) -> None:
    """YAML 1.1 reads yes, no, on and off as true and false; a mapping means the words in the files."""
    consent = "{column: c, values: {yes: true, no: false, on: true, off: false}}"
    columns = f"{{files: u.csv, filed_by: static, columns: {{consent: {consent}}}}}"
    rest = yaml.safe_dump({**MAPPING, "consent": "column", "users": None}).replace("users: null", f"users: {columns}")
    path = tmp_path / "mapping.yaml"
    path.write_text(f"{rest}sparse: yes\n")
    mapping = load_log_mapping(path)
    given = mapping.users[0].columns["consent"]
    assert given is not None and given.values == {"yes": True, "no": False, "on": True, "off": False}
    assert mapping.sparse is True
