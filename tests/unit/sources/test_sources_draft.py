"""A drafted mapping: what it guesses, what it leaves to a person, what it never shows."""

from __future__ import annotations

import gzip
import re
from datetime import date
from pathlib import Path

import duckdb
import pytest
import yaml

from ml.errors import BadInput
from ml.lake import Lake
from ml.sources.contract import TABLES
from ml.sources.drafting.draft import draft
from ml.sources.drafting.look import pattern_of
from ml.sources.drafting.words import KINDS
from ml.sources.ingest import ingest
from ml.sources.log_mapping import LogMapping, load_log_mapping
from ml.sources.parquet_logs import ParquetLogs
from ml.timeline import Window
from tests.s3 import S3Server
from tests.unit.sources.sources_layouts import FLAT, HIVE, STREAM, ZONE, Layout, views
from tests.unit.sources.sources_small_logs import DAYS, Logs, small_logs, write_logs

WINDOW = Window(DAYS[0], DAYS[-1])


def many_logs() -> Logs:
    """The small logs with more users: kinds are only seen where they repeat."""
    logs = small_logs()
    for name in ("activity", "conversions"):
        for i, rows in enumerate(logs[name].values()):
            for n in range(30):
                row = {**rows[n % 3], next(iter(rows[0])): f"{name[0]}x{i}{n:02d}", "user_id": f"u{n % 3}"}
                row |= {"kind": ("search", "visit", "save")[n % 3]} if name == "activity" else {}
                rows.append(row)
    return logs


def exported(layout: Layout, root: Path) -> Path:
    with views(write_logs(many_logs(), root / "contract")) as con:
        layout.write(con, root / "logs")
    return root / "logs"


def parsed(text: str) -> dict:
    return yaml.safe_load(text)


def completed(text: str, path: Path, **stated: str) -> LogMapping:
    for name, value in stated.items():
        text = re.sub(rf"^{name}: TODO", f"{name}: {value}", text, flags=re.MULTILINE)
    path.write_text(text)
    return load_log_mapping(path)


def test_a_draft_is_refused_until_consent_is_stated(tmp_path: Path) -> None:
    text = draft(exported(HIVE, tmp_path))
    with pytest.raises(BadInput) as refused:
        completed(text, tmp_path / "m.yaml", time_zone=ZONE)
    assert refused.value.what == "still TODO: consent"
    assert completed(text, tmp_path / "m.yaml", time_zone=ZONE, consent="column").consent == "column"


@pytest.mark.parametrize("layout", [FLAT, HIVE, STREAM])
def test_consent_is_never_guessed(layout: Layout, tmp_path: Path) -> None:
    text = draft(exported(layout, tmp_path))
    assert parsed(text)["consent"] == "TODO"
    assert "granted" not in re.sub(r"#.*", "", text)


def test_a_completed_draft_reads_the_logs(tmp_path: Path) -> None:
    """Local days under another key, times on a local clock: all that had to be said was the zone and consent."""
    logs = exported(HIVE, tmp_path)
    mapping = completed(draft(logs), tmp_path / "m.yaml", time_zone=ZONE, consent="column")
    source = ParquetLogs(logs, mapping.model_copy(update={"first_day": DAYS[0], "last_day": DAYS[-1]}))
    report = ingest(source, WINDOW, Lake(tmp_path / "lake"), tmp_path / "quarantine", sparse=False)
    rows = {name: (table.rows, table.quarantined) for name, table in report.tables.items()}
    assert rows == {
        "advertisers": (2, 0), "ads": (2, 0), "users": (3, 0), "activity": (99, 0), "impressions": (9, 0),
        "clicks": (9, 0), "conversions": (99, 0),
    }  # fmt: skip


def test_it_guesses_renamed_columns_units_and_joins(tmp_path: Path) -> None:
    found = parsed(draft(exported(FLAT, tmp_path)))
    truth = FLAT.mapping(first_day=DAYS[0])
    right = wrong = 0
    for table in truth.tables:
        guessed = found[table]["columns"]
        for column, meant in truth.parts(table)[0].columns.items():
            given = guessed.get(column)
            source = given.get("column") if isinstance(given, dict) else given
            if meant is not None and column != "consent":
                right += source == meant.column
                wrong += source not in (meant.column, None, "TODO")
    assert wrong == 0 and right >= 38, (right, wrong)
    assert found["activity"]["columns"]["event_time"] == {"column": "ts", "unit": "ms"}
    assert found["impressions"]["columns"]["event_time"]["format"] == "%d.%m.%Y %H:%M:%S"
    assert found["conversions"]["columns"]["value"] == {"column": "cents", "scale": 0.01}
    assert found["activity"]["columns"]["kind"]["values"] == {"q": "search", "pv": "visit", "fav": "save"}
    assert found["time_zone"] == "TODO" and found["first_day"] == DAYS[0]


def test_it_tells_the_tables_of_one_stream_apart(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    names = ("search", "page_view", "click", "purchase")
    rows = [f"{i},{names[i % 4]},u{i % 9},b{i % 3},2026-03-0{1 + i % 7}T10:00:00Z,{i}.5" for i in range(400)]
    text = "\n".join(["id,event_name,user_id,brand,timestamp,revenue", *rows])
    (tmp_path / "logs" / "events-2026-03-01.csv.gz").write_bytes(gzip.compress(text.encode()))
    found = parsed(draft(tmp_path / "logs"))
    assert found["activity"]["only"] == {"event_name": ["page_view", "search"]}
    assert found["conversions"]["only"] == {"event_name": ["purchase"]}
    assert found["conversions"]["files"] == "events-{date}.csv.gz"
    assert found["users"]["derive_from"] == ["conversions", "activity"]
    assert "time_zone" not in found, "these times carry their offset"


def test_events_that_no_table_would_read_are_named(tmp_path: Path) -> None:
    names = ["Page Viewed", "Ad Impression", "Ad Clicked", "Order Completed", "Order Cancelled"]
    names += ["Wishlist Add", "Scroll"]
    rows = [f"e{i};{names[i % 7]};u{i % 9};17723232{i:02d}" for i in range(90)]
    (tmp_path / "hits.csv").write_text("\n".join(["eventId;eventName;visitorId;serverTime", *rows]))
    text = draft(tmp_path)
    only = {table: values["only"]["eventName"] for table, values in parsed(text).items() if table in KINDS}
    assert only == {
        "activity": ["Page Viewed", "Wishlist Add"],
        "impressions": ["Ad Impression"],
        "clicks": ["Ad Clicked"],
        "conversions": ["Order Completed"],
    }
    assert text.count("in none: Order Cancelled, Scroll") == 4


def test_what_a_conversion_is_credited_to_is_no_event(tmp_path: Path) -> None:
    rows = [
        f"o{i},u{i % 9},b{i % 5},2026-03-01T10:00:{i % 60:02d}Z,{('click', 'view', 'none')[i % 3]}" for i in range(90)
    ]
    (tmp_path / "orders.csv").write_text("\n".join(["order_id,user_id,brand,ordered_at,attribution", *rows]))
    found = parsed(draft(tmp_path))
    assert "only" not in found["conversions"] and found["conversions"]["columns"]["attribution"] == "attribution"


def test_day_and_month_that_could_be_exchanged_are_left_to_a_person(tmp_path: Path) -> None:
    rows = "".join(f"{i},u{i},b{i % 4},0{1 + i % 9}/03/2026 10:00,5\n" for i in range(40))
    (tmp_path / "orders.csv").write_text(f"order_id,user_id,brand,ordered_at,amount\n{rows}")
    found = parsed(draft(tmp_path))
    assert found["conversions"]["columns"]["event_time"] == {"column": "ordered_at", "format": "TODO"}


def test_it_shows_no_value_that_somebody_wrote(tmp_path: Path) -> None:
    mine = {
        "mail": "jane.roe@example.org",
        "query": "my knee hurts what to do",
        "url": "https://clinic.example/knee",
        "customer_name": "Jane Roe",
        "phone": "+49 170 5551234",
    }
    with duckdb.connect() as con:
        columns = ", ".join(f"'{value}' AS {name}" for name, value in mine.items())
        select = f"SELECT 'u' || i AS uid, {columns}, TIMESTAMP '2026-03-01 10:00:00' AS ts FROM range(60) t(i)"
        con.execute(f"COPY ({select}) TO '{tmp_path}/visits.parquet'")
    text = draft(tmp_path).lower()
    assert "visits.parquet" in text
    assert not [word for word in ("jane", "knee", "5551234", "clinic") if word in text]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("clicks/date=2026-03-04/part-0.parquet", "clicks/date={date}/*.parquet"),
        ("clicks/dt=20260304/country=PT/part-00000-0aa1b2c3-1111-2222-3333-444455556666.c000.snappy.parquet",
         "clicks/dt={date}/country=*/*.parquet"),
        ("raw/year=2026/month=3/day=04/x_17.csv", "raw/year={year}/month={month}/day={day}/x_*.csv"),
        ("raw/2026/03/04/1.csv.gz", "raw/{year}/{month}/{day}/*.csv.gz"),
        ("raw/2026/03/04.csv.gz", "raw/{year}/{month}/{day}.csv.gz"),
        ("orders-2026-03-04.csv", "orders-{date}.csv"),
        ("orders.csv", "orders.csv"),
        ("users/000000_0.parquet", "users/*.parquet"),
    ],
)  # fmt: skip
def test_patterns_of_paths(name: str, pattern: str) -> None:
    assert pattern_of(name) == pattern


def foreign(root: Path) -> Path:
    """A shop's export of whose words none is known but imp and clk; a click names its impression."""
    day = "DATE '2026-03-01' + (i % 7)::INTEGER"
    selects = {
        "kunden.csv": f"""SELECT 'K' || i AS kunde, ['ja', 'nein'][1 + i % 2] AS einwilligung,
            strftime({day}, '%d.%m.%Y %H:%M:%S') AS stand FROM range(60) t(i)""",
        "motive.parquet": "SELECT 'm' || i AS motiv, 'Firma ' || (i % 40) AS firma FROM range(60) t(i)",
        "auslieferung.parquet": f"""SELECT CASE WHEN i % 3 = 0 THEN 'clk' ELSE 'imp' END AS typ, 'v' || i AS vorgang,
            CASE WHEN i % 3 = 0 THEN 'v' || (i + 1) END AS zu, epoch_ms(({day})::TIMESTAMP) AS ts
            FROM range(600) t(i)""",
    }
    with duckdb.connect() as con:
        for name, select in selects.items():
            options = "(DELIMITER ';', HEADER)" if name.endswith(".csv") else ""
            con.execute(f"COPY ({select}) TO '{root}/{name}' {options}")
    return root


def test_what_nobody_could_guess_is_a_form_to_fill_in(tmp_path: Path) -> None:
    text = draft(foreign(tmp_path))
    found = parsed(text)
    for table in ("ads", "users", "conversions"):
        assert found[table]["files"] == "TODO"
        required = {c.name for c in TABLES[table].columns if not c.nullable} - {"consent", "updated_at"}
        assert {name for name, value in found[table]["columns"].items() if value == "TODO"} == required
    assert found["advertisers"] == {"derive_from": "ads", "columns": {"vertical": "TODO"}}
    assert found["time_zone"] == "TODO"
    optional = re.search(r"^# activity:\n(#  .*\n)+", text, re.MULTILINE)
    assert optional and set(parsed(re.sub(r"^# ", "", optional[0], flags=re.MULTILINE))["activity"]) == {
        "files",
        "columns",
    }
    for seen in ("delimiter: ;", "ja, nein", 'format "%d.%m.%Y %H:%M:%S"'):
        assert seen in text


def test_an_event_is_not_taken_for_what_it_points_to(tmp_path: Path) -> None:
    found = parsed(draft(foreign(tmp_path)))
    assert found["impressions"]["columns"]["impression_id"] == "vorgang"
    assert found["clicks"]["columns"]["impression_id"] == "zu"
    assert found["clicks"]["columns"]["click_id"] == "vorgang"


def test_a_file_of_todays_users_is_not_filed_by_its_changes(tmp_path: Path) -> None:
    """Else most events come before their user's row; a file of all changes is filed by them."""
    rows = [f"u{i},yes,2026-03-{1 + i % 20:02d} 10:00:00" for i in range(60)]
    (tmp_path / "users.csv").write_text("\n".join(["user_id,consent,updated_at", *rows]))
    found = parsed(draft(tmp_path))["users"]
    assert (found["filed_by"], found["columns"]["updated_at"]) == ("static", {"filing_day": True})
    again = [f"u{i},no,2026-04-{1 + i % 20:02d} 10:00:00" for i in range(60)]
    (tmp_path / "users.csv").write_text("\n".join(["user_id,consent,updated_at", *rows, *again]))
    found = parsed(draft(tmp_path))["users"]
    assert (found["filed_by"], found["columns"]["updated_at"]) == ("updated_at", "updated_at")


def test_nothing_to_look_at_is_said(tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("x")
    with pytest.raises(BadInput, match="no file that could be a log"):
        draft(tmp_path)


def test_it_drafts_from_s3(tmp_path: Path, s3: S3Server) -> None:
    url = s3.bucket()
    s3.put_directory(exported(HIVE, tmp_path), f"{url}/logs")
    here, there = draft(tmp_path / "logs"), draft(f"{url}/logs")
    assert here == there and date.fromisoformat(str(parsed(there)["first_day"]))
