"""Deliveries that cannot be used at all stop with one error that names the place and the remedy."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from ml.errors import BadInput
from ml.lake import Lake
from ml.sources.contract_logs import ContractLogs
from ml.sources.ingest import REQUIRED, IngestReport, ingest
from ml.sources.mapping import AMAZON14, SAMPLE, load_mapping
from ml.sources.purchases import PurchaseLogs
from ml.timeline import Window
from tests.contracts.source_contract import broken_rules
from tests.unit.sources.sources_small_logs import DAYS, WINDOW, rewrite, small_logs, write_logs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_logs(small_logs(), tmp_path / "logs")


def run(root: Path, window: Window = WINDOW, *, sparse: bool = False) -> IngestReport:
    lake = Lake(root.parent / "lake")
    return ingest(ContractLogs(root, "small"), window, lake, root.parent / "quarantine", sparse=sparse)


def assert_names(caught: pytest.ExceptionInfo[BadInput], *words: str) -> None:
    for word in words:
        assert word in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("table", REQUIRED)
def test_missing_table(table: str, root: Path) -> None:
    shutil.rmtree(root / table)
    with pytest.raises(BadInput) as caught:
        run(root)
    assert_names(caught, f"no table '{table}'", "source small", f"deliver {table}")


def test_tables_that_are_not_required_may_lack(root: Path) -> None:
    for table in ("clicks", "activity"):
        shutil.rmtree(root / table)
    report = run(root)
    assert "clicks" not in report.tables
    assert not (root.parent / "lake" / "clicks").exists()


@pytest.mark.parametrize(("table", "column"), [("conversions", "attribution"), ("users", "consent"), ("ads", "ad_id")])
def test_missing_column(table: str, column: str, root: Path) -> None:
    path = root / table / f"date={DAYS[1]}" / "part-0.parquet"
    rewrite(path, lambda rows: rows.drop_columns([column]))
    with pytest.raises(BadInput) as caught:
        run(root)
    assert_names(caught, f"no column '{column}'", str(path), f"deliver column '{column}'")
    assert not (root.parent / "lake").exists()  # nothing of these days was written


@pytest.mark.parametrize("keep", [0, 3, 200])
def test_unreadable_file(keep: int, root: Path) -> None:
    path = root / "clicks" / f"date={DAYS[2]}" / "part-0.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput) as caught:
        run(root)
    assert_names(caught, "unreadable file", str(path), "deliver the file again")


def test_empty_day(root: Path) -> None:
    for table in ("activity", "impressions", "clicks", "conversions"):
        rewrite(root / table / f"date={DAYS[1]}" / "part-0.parquet", lambda rows: rows.slice(0, 0))
    with pytest.raises(BadInput) as caught:
        run(root)
    assert_names(caught, f"empty day {DAYS[1]}", "sparse: true")
    report = run(root, sparse=True)
    assert report.empty_days == [DAYS[1]]
    lake = Lake(root.parent / "lake")
    assert lake.days("conversions") == DAYS
    assert broken_rules(lake) == []
    with lake.connect() as con:
        assert con.execute("SELECT count(*) FROM conversions").fetchall() == [(6,)]


def test_days_the_source_does_not_have(root: Path) -> None:
    with pytest.raises(BadInput) as caught:
        run(root, Window(DAYS[0], DAYS[-1] + timedelta(days=1)))
    assert_names(caught, "are not all there", f"{DAYS[0]}..{DAYS[-1]}")


def test_misnamed_directories(root: Path) -> None:
    shutil.copytree(root / "clicks", root / "click")
    with pytest.raises(BadInput) as caught:
        run(root)
    assert_names(caught, "'click' is no table", "rename it to 'clicks'")
    shutil.rmtree(root / "click")
    (root / "ads" / f"date={DAYS[0]}").rename(root / "ads" / "date=2026-13-01")
    with pytest.raises(BadInput) as caught:
        run(root)
    assert_names(caught, "not a day", "date=2026-13-01", "YYYY-MM-DD")


def test_no_directory_and_no_days(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        ContractLogs(tmp_path / "none", "small").window()
    assert_names(caught, "no such directory", str(tmp_path / "none"))
    with pytest.raises(BadInput) as caught:
        ContractLogs(tmp_path, "small").window()
    assert_names(caught, "no day partitions", str(tmp_path))


def test_a_source_that_misfiles_rows_is_caught_before_they_are_written(root: Path) -> None:
    class Misfiling(ContractLogs):
        def read(self, table: str, window: Window) -> pa.Table:
            return super().read(table, self.window())

    with pytest.raises(BadInput) as caught:
        ingest(
            Misfiling(root, "small"),
            Window(DAYS[1], DAYS[1]),
            Lake(root.parent / "lake"),
            root.parent / "quarantine",
            sparse=False,
        )
    assert_names(caught, "rows came in", "advertisers", "correct its `read`")
    assert not (root.parent / "lake").exists()


def test_files_of_a_table_may_differ_in_type(root: Path) -> None:
    local = pa.timestamp("ns", "Asia/Tokyo")

    def typed(rows: pa.Table) -> pa.Table:
        position = rows["position"].cast(pa.int64())
        moments = rows["event_time"].cast(pa.timestamp("ns")).cast(local)
        names = rows.column_names
        rows = rows.set_column(names.index("position"), "position", position)
        return rows.set_column(names.index("event_time"), "event_time", moments)

    rewrite(root / "impressions" / f"date={DAYS[1]}" / "part-0.parquet", typed)
    report = run(root)
    assert report.tables["impressions"].reasons == {}
    lake = Lake(root.parent / "lake")
    assert broken_rules(lake) == []
    with lake.connect() as con:
        assert con.execute("SELECT count(*), count(DISTINCT event_time::TIME) FROM impressions").fetchall() == [(9, 1)]


# --- purchase logs ---------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("events", "items"):
        shutil.copy(SAMPLE / f"{name}.parquet", tmp_path)
    return tmp_path


def purchases(data: Path) -> PurchaseLogs:
    return PurchaseLogs(data, load_mapping(AMAZON14))


def test_purchase_file_missing(data: Path) -> None:
    (data / "items.parquet").unlink()
    for ask in (PurchaseLogs.window, PurchaseLogs.fingerprint):
        with pytest.raises(BadInput) as caught:
            ask(purchases(data))
        assert_names(caught, "no such file", str(data / "items.parquet"), "DATA")


def test_purchase_column_missing(data: Path) -> None:
    rewrite(data / "events.parquet", lambda rows: rows.rename_columns({"brand": "maker"}))
    with pytest.raises(BadInput) as caught:
        purchases(data).window()
    assert_names(caught, "no column 'brand'", "maker", str(data / "events.parquet"), "mapping")


@pytest.mark.parametrize("keep", [0, 100, -300])
def test_purchase_file_unreadable(keep: int, data: Path) -> None:
    path = data / "events.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput) as caught:
        purchases(data).window()
    assert_names(caught, "unreadable file", str(path), "deliver the file again")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user_id,event_date,seq,item_id,brand\na,2014-01-01,1,i,B\nann@example.com,2014-01-01\n", ["Line: 3", "5"]),
        ("", ["no header line"]),
        ("user_id,user_id\n", ["no header line", "each once"]),
        ("user_id,event_date,seq,item_id\na,2014-01-01,1,i\n", ["no column 'brand'"]),
    ],
)
def test_csv_file_unreadable(text: str, words: list[str], data: Path) -> None:
    mapping = load_mapping(AMAZON14)
    mapping = mapping.model_copy(update={"events": mapping.events.model_copy(update={"file": "events.csv"})})
    (data / "events.csv").write_text(text)
    with pytest.raises(BadInput) as caught:
        PurchaseLogs(data, mapping).window()
    assert_names(caught, str(data / "events.csv"), *words)
    assert "ann@example.com" not in str(caught.value)


def test_no_purchase_after_the_first_day(data: Path) -> None:
    mapping = load_mapping(AMAZON14).model_copy(update={"first_day": date(2020, 1, 1)})
    with pytest.raises(BadInput) as caught:
        PurchaseLogs(data, mapping).window()
    assert_names(caught, "no purchase on or after first_day 2020-01-01", "event_date", "set first_day")


def test_a_table_that_no_purchase_log_has(data: Path) -> None:
    with pytest.raises(BadInput) as caught:
        purchases(data).read("clicks", WINDOW)
    assert_names(caught, "has no clicks", "amazon14")


# --- mapping files ---------------------------------------------------------------------------------

GOOD = AMAZON14.read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("consent: granted_by_source", ""), ["field 'consent' is missing", "granted_by_source"]),
        (GOOD.replace("granted_by_source", "unknown"), ["consent:", "'unknown'", "must be `granted_by_source`"]),
        (GOOD.replace("first_day: 2014-01-01", "first_day: soon"), ["first_day", "'soon'", "YYYY-MM-DD"]),
        (GOOD + "last_day: 2013-01-01\n", ["last_day lies before first_day"]),
        (GOOD.replace("sequence: seq", "order: seq"), ["unknown field 'events.order'", "sequence"]),
        (GOOD.replace("  date: event_date", "  timestamp: event_date"), ["`sequence` goes with `date`"]),
        (GOOD.replace("  date: event_date", ""), ["events: give exactly one of `date` and `timestamp`"]),
        (GOOD.replace("events.parquet", "events.xlsx"), ["events.file", "'events.xlsx'", ".parquet, .csv or .csv.gz"]),
        (GOOD.replace("leaf: rarest", "leaf: widest"), ["items.leaf", "'widest'", "'rarest', 'first' or 'last'"]),
        (GOOD.replace("min_items: 10", "min_items: 0"), ["items.min_items", "greater than or equal to 1", "value: 0"]),
        (GOOD + "users: {file: users.csv}\n", ["field 'users.user' is missing", "column with the user's id"]),
        (GOOD.replace("events:", "purchases:"), ["field 'events' is missing", "unknown field 'purchases'"]),
        ("events: [", ["not YAML", "line 1"]),
        ("just text", ["not a mapping of fields"]),
    ],
)
def test_mapping_errors_name_file_field_value_and_remedy(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        load_mapping(path)
    assert_names(caught, str(path), "docs/guides/purchase-logs.md", *words)


def test_mapping_file_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load_mapping(tmp_path / "mine.yaml")
    assert_names(caught, "no such mapping file", "mine.yaml")
