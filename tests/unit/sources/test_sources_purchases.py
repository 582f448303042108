"""What a purchase log becomes, by construction; and what the sample promises."""

from __future__ import annotations

import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.lake import Lake
from ml.sources.ingest import IngestReport, ingest
from ml.sources.mapping import AMAZON14, SAMPLE, PurchaseMapping, load_mapping
from ml.sources.purchases import PurchaseLogs
from ml.sources.sample.generate import generate
from ml.timeline import Window
from tests.contracts.source_contract import broken_rules, content

MAPPING: dict[str, Any] = {
    "name": "shop",
    "consent": "granted_by_source",
    "first_day": "2026-03-02",
    "sparse": True,
    "events": {"file": "e.csv", "user": "who", "date": "day", "sequence": "n", "item": "item", "advertiser": "maker"},
    "items": {"file": "i.csv", "item": "item", "advertiser": "maker", "category": "shelf"},
}
EVENTS = """who,day,n,item,maker
ann,2026-02-27,2,p1,Vela
ann,2026-02-27,10,p2,Vela
ann,2026-03-03,1,p3,
bob,2026-03-04,1,p4,Crème & Co.
"""
ITEMS = """item,maker,shelf
p1,Vela,socks
p2, Vela ,hats
p3,,socks
p4,Crème & Co.,
p5,Unsold,socks
"""


def shop(root: Path, events_csv: str = EVENTS, items_csv: str = ITEMS, **changes: Any) -> PurchaseLogs:
    (root / "e.csv").write_text(events_csv)
    (root / "i.csv").write_text(items_csv)
    return PurchaseLogs(root, PurchaseMapping.model_validate(MAPPING | changes))


def rows(source: PurchaseLogs, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = source.read(table, source.window()).to_pylist()
    return found


def pick(found: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in found]


def run(source: PurchaseLogs, root: Path) -> tuple[IngestReport, Lake]:
    lake = Lake(root / "lake")
    report = ingest(source, source.window(), lake, root / "quarantine", sparse=True)
    assert broken_rules(lake, source.backlog_day) == []
    return report, lake


def test_purchases_with_a_brand_are_conversions(tmp_path: Path) -> None:
    source = shop(tmp_path)
    found = rows(source, "conversions")
    names = {row["advertiser_id"]: row["name"] for row in rows(source, "advertisers")}
    assert [(row["user_id"], names[row["advertiser_id"]], row["ad_id"]) for row in found] == [
        ("ann", "Vela", "p1"),
        ("ann", "Vela", "p2"),
        ("bob", "Crème & Co.", "p4"),
    ]
    assert pick(found, "event_time", "_day")[:2] == [  # (date, sequence) in order of the number, filed as backlog
        (datetime(2026, 2, 27, 0, 0, 0), date(2026, 3, 2)),
        (datetime(2026, 2, 27, 0, 0, 1), date(2026, 3, 2)),
    ]
    assert all(row["known_at"] == row["event_time"] for row in found)
    assert {(row["kind"], row["attribution"], row["impression_id"]) for row in found} == {("purchase", "none", None)}


def test_purchases_without_a_brand_are_visits(tmp_path: Path) -> None:
    found = rows(shop(tmp_path), "activity")
    assert pick(found, "user_id", "kind", "category", "advertiser_id", "_day") == [
        ("ann", "visit", "socks", None, date(2026, 3, 3))
    ]


def test_registers_are_filed_when_first_seen(tmp_path: Path) -> None:
    source = shop(tmp_path)
    first = date(2026, 3, 2)
    assert sorted(pick(rows(source, "advertisers"), "name", "active_from", "_day")) == [
        ("Crème & Co.", date(2026, 3, 4), date(2026, 3, 4)),
        ("Unsold", first, first),  # never bought
        ("Vela", date(2026, 2, 27), first),
    ]
    assert sorted(pick(rows(source, "ads"), "ad_id", "category", "_day")) == [
        ("p1", "socks", first),
        ("p2", "hats", first),
        ("p4", "uncategorised", date(2026, 3, 4)),
        ("p5", "socks", first),
    ]
    assert pick(rows(source, "users"), "user_id", "consent", "region", "updated_at", "_day") == [
        ("ann", True, None, datetime(2026, 2, 27), first),
        ("bob", True, None, datetime(2026, 3, 4), date(2026, 3, 4)),
    ]
    report, _ = run(source, tmp_path)
    assert all(table.quarantined == 0 for table in report.tables.values())


def test_a_purchase_delivered_twice_and_one_of_no_day_go_to_quarantine(tmp_path: Path) -> None:
    events = EVENTS + "ann,2026-02-27,2,p1,Vela\nbob,someday,1,p1,Vela\nbob,,1,p1,Vela\n,2026-03-04,1,p1,Vela\n"
    report, _ = run(shop(tmp_path, events), tmp_path)
    assert report.tables["conversions"].reasons == {
        "conversion_id: delivered twice": 1,
        "event_time: not a TIMESTAMP": 1,
        "event_time: missing": 1,
        "user_id: missing": 1,
    }
    assert report.tables["conversions"].rows_in == 7
    assert report.tables["users"].quarantined == 0  # bob's other purchase still counts


def test_the_purchases_brand_counts_where_the_item_says_otherwise(tmp_path: Path) -> None:
    events = EVENTS + "bob,2026-03-05,1,p1,Unsold\nbob,2026-03-05,2,p9,Vela\nbob,2026-03-05,3,p2,Vela\n"
    source = shop(tmp_path, events, ITEMS + "p2,Unsold,hats\n")
    names = {row["advertiser_id"]: row["name"] for row in rows(source, "advertisers")}
    late = [row for row in rows(source, "conversions") if row["_day"] == date(2026, 3, 5)]
    assert [(names[row["advertiser_id"]], row["ad_id"]) for row in late] == [
        ("Unsold", None),
        ("Vela", None),
        ("Vela", None),
    ]
    assert source.differences() == {
        "item not in the items file": 1,
        "item with several brands": 2,
        "brand other than the item's": 1,
    }
    report, _ = run(source, tmp_path)
    assert report.tables["ads"].reasons == {"ad_id: conflicts with another row": 1}
    assert report.tables["conversions"].quarantined == 0


def test_an_item_nobody_bought_comes_with_its_brand(tmp_path: Path) -> None:
    source = shop(tmp_path, items_csv=ITEMS + "p8,Crème & Co.,socks\n")
    assert ("p8", date(2026, 3, 4)) in pick(rows(source, "ads"), "ad_id", "_day")
    report, _ = run(source, tmp_path)
    assert report.tables["ads"].quarantined == 0


def test_users_file_brings_profiles_and_consent(tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_text("_day,age,moment\nann,18-24,yes\nbob,,no\neve,35-44,true\n")
    users = {"file": "u.csv", "user": "_day", "age_bucket": "age", "consent": "moment"}
    events = EVENTS + "zoe,2026-03-04,1,p1,Vela\n"
    report, lake = run(shop(tmp_path, events, users=users), tmp_path)
    with lake.connect() as con:
        found = con.execute("SELECT user_id, age_bucket, consent FROM users ORDER BY user_id").fetchall()
    assert found == [("ann", "18-24", True), ("bob", None, False), ("eve", "35-44", True)]
    assert report.tables["conversions"].reasons == {"user_id: not found in users": 1}


def test_users_file_of_ids_only(tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_text("id\nann\nbob\n")
    report, _ = run(shop(tmp_path, users={"file": "u.csv", "user": "id"}), tmp_path)
    assert (report.tables["users"].rows, report.tables["conversions"].rows) == (2, 3)


def test_timestamps_and_the_brand_of_the_item(tmp_path: Path) -> None:
    events = {"file": "e.csv", "user": "who", "timestamp": "at", "item": "item", "value": "paid"}
    text = "who,at,item,paid\nann,2026-03-04 00:30:00+01:00,p1,9.5\nann,2026-03-04 10:00:00,p3,1\n"
    source = shop(tmp_path, text, events=events)
    assert pick(rows(source, "conversions"), "event_time", "_day", "ad_id") == [
        (datetime(2026, 3, 3, 23, 30), date(2026, 3, 3), "p1")
    ]
    assert len(rows(source, "activity")) == 1
    report, lake = run(source, tmp_path)
    assert report.tables["conversions"].quarantined == 0
    with lake.connect() as con:
        assert con.execute("SELECT value FROM conversions").fetchall() == [(9.5,)]


WILD = st.tuples(
    st.sampled_from(["ann", "bob", "cy", ""]),
    st.sampled_from(["2026-02-01", "2026-03-02", "2026-03-04", "2099-01-01", "someday", ""]),
    st.sampled_from(["1", "2", "x", ""]),
    st.sampled_from(["p1", "p2", "p3", "p9", ""]),
    st.sampled_from(["Vela", "Unsold", "Nova", " ", ""]),
)


@settings(max_examples=5, deadline=None)
@given(events=st.lists(WILD, min_size=1, max_size=12))
def test_every_purchase_arrives_and_no_good_one_is_lost_for_another(events: list[tuple[str, ...]]) -> None:
    text = "who,day,n,item,maker\n" + "".join(",".join(event) + "\n" for event in events)
    with tempfile.TemporaryDirectory() as folder:
        source = shop(Path(folder), text, ITEMS + "p2,Nova,hats\n", last_day="2026-03-05")
        report, _ = run(source, Path(folder))
    logs = [report.tables[name] for name in ("conversions", "activity")]
    assert sum(table.rows_in for table in logs) == len(events)
    good = {event for event in events if event[0] and event[1].startswith("2026")}
    kept = {(user, day, n, item, bool(maker.strip())) for user, day, n, item, maker in good}  # one a key and table
    assert sum(table.rows for table in logs) == len(kept)


def test_last_day_keeps_a_stray_date_from_stretching_the_window(tmp_path: Path) -> None:
    events = EVENTS + "bob,2099-01-01,1,p1,Vela\nbob,someday,1,p1,Vela\n"
    source = shop(tmp_path, events, last_day="2026-03-05")
    assert source.window().last == date(2026, 3, 5)
    report, _ = run(source, tmp_path)
    found = report.tables["conversions"]
    assert found.reasons == {"event_time: not on its filing day": 1, "event_time: not a TIMESTAMP": 1}
    assert {day for day, n in found.quarantined_by_day.items() if n} == {date(2026, 3, 2), date(2026, 3, 5)}


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        ("first", ["Sport", "Balls", "Sport", "toys"]),
        ("last", ["Balls", "Sport", "Kites", "toys"]),
        # Kites has one item, too few; of Sport (3) and Balls (2) the rarer one is the item's own.
        ("rarest", ["Balls", "Balls", "Sport", "toys"]),
    ],
)
def test_leaf_category(leaf: str, expected: list[str], tmp_path: Path) -> None:
    lists = [["Sport", "Balls"], ["Balls", "Sport"], ["Sport", "Kites"], []]
    items = {"file": "i.parquet", "item": "item", "advertiser": "maker", "category": "shelf", "vertical": "line"}
    with duckdb.connect() as con:
        values = ", ".join(f"('p{i}', 'Vela', {found}::VARCHAR[], 'toys')" for i, found in enumerate(lists))
        con.execute(f"COPY (SELECT * FROM (VALUES {values}) t(item, maker, shelf, line)) TO '{tmp_path / 'i.parquet'}'")
    source = shop(tmp_path, items=items | {"leaf": leaf, "min_items": 2})
    found = sorted(pick(rows(source, "ads"), "ad_id", "category"))
    assert [category for _, category in found] == expected
    assert ("Vela", "toys") in pick(rows(source, "advertisers"), "name", "vertical")


def test_ids_are_stable_readable_and_distinct(tmp_path: Path) -> None:
    items = ITEMS + "p6,VELA,socks\np7,Vela!,socks\n"
    first = {row["name"]: row["advertiser_id"] for row in rows(shop(tmp_path, items_csv=items), "advertisers")}
    again = {
        row["name"]: row["advertiser_id"]
        for row in rows(shop(tmp_path, EVENTS.splitlines()[0] + "\nbob,2026-03-04,1,p1,Vela\n"), "advertisers")
    }
    assert first["Crème & Co."].startswith("creme-co-")
    assert len(set(first.values())) == len(first) == 5
    assert all(first[name] == found for name, found in again.items())


# --- the sample ------------------------------------------------------------------------------------


def test_sample_is_what_its_generator_writes(tmp_path: Path) -> None:
    generate(tmp_path)
    written = {path.name: found for path, found in content(tmp_path).items()}
    shipped = {path.name: path.read_bytes() for path in SAMPLE.glob("*.parquet")}
    assert written == shipped
    assert sum(map(len, shipped.values())) < 200_000


def test_sample_is_clean_and_large_enough_to_test_on(tmp_path: Path) -> None:
    source = PurchaseLogs(SAMPLE, load_mapping(AMAZON14))
    assert (source.window().first, source.window().last) == (date(2014, 1, 1), date(2014, 7, 23))
    assert all(n == 0 for n in source.differences().values())
    with duckdb.connect() as con:
        testable = con.execute(
            f"""SELECT count(*) FROM (
                SELECT user_id FROM '{SAMPLE / "events.parquet"}' WHERE brand IS NOT NULL GROUP BY user_id
                HAVING count(*) FILTER (event_date < DATE '2014-04-24') >= 3
                       AND max(event_date) >= DATE '2014-04-24')"""
        ).fetchall()[0][0]
    assert testable >= 250
    days = Window(source.window().first, date(2014, 1, 7))
    report = ingest(source, days, Lake(tmp_path / "lake"), tmp_path / "quarantine", sparse=True)
    assert all(table.quarantined == 0 for table in report.tables.values())
