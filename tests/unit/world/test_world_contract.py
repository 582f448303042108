"""What the world writes keeps the raw-log contract, and shows nothing that the contract does not name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from ml.sources.contract import TABLES, Column, Table
from ml.world.settings import WorldSettings
from ml.world.simulator import simulate

Query = Callable[[str], pd.DataFrame]
OpenLogs = Callable[[Path], Query]
EVERY_TABLE = pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)


@EVERY_TABLE
def test_columns_and_types(table: Table, query: Query) -> None:
    types = query(f"DESCRIBE SELECT * EXCLUDE (date) FROM {table.name}")
    assert list(zip(types["column_name"], types["column_type"], strict=True)) == [
        (column.name, column.type) for column in table.columns
    ]


@EVERY_TABLE
def test_values_keep_the_rules(table: Table, query: Query) -> None:
    rows = query(f"SELECT * FROM {table.name}")
    assert len(rows) > 0
    key = [table.key] if table.kind == "log" else [table.key, "date"]
    assert not rows.duplicated(key).any()
    for column in table.columns:
        values = rows[column.name].dropna()
        assert column.nullable or len(values) == len(rows)
        assert not column.allowed or set(values) == set(column.allowed)
        assert column.minimum is None or (values >= column.minimum).all()
        assert column.maximum is None or (values <= column.maximum).all()


@pytest.mark.parametrize(
    ("table", "column"),
    [(t, c) for t in TABLES.values() for c in t.columns if c.references],
    ids=lambda part: part.name,
)
def test_references_are_delivered_by_the_day_they_are_used(table: Table, column: Column, query: Query) -> None:
    target, name = TABLES[str(column.references)], column.name
    orphans = query(
        f"""SELECT x.{name} FROM {table.name} x LEFT JOIN
            (SELECT {target.key} AS key, min(date) AS since FROM {target.name} GROUP BY 1) y ON x.{name} = y.key
            WHERE x.{name} IS NOT NULL AND (y.key IS NULL OR y.since > x.date)"""
    )
    assert orphans.empty


@pytest.mark.parametrize("table", [t for t in TABLES.values() if t.kind == "log"], ids=lambda t: t.name)
def test_logs_have_a_file_a_day_and_rows_lie_in_their_day_in_contract_order(
    table: Table, query: Query, world: Path, tiny: WorldSettings
) -> None:
    days = [path.parent.name for path in sorted((world / table.name).glob("date=*/part-0.parquet"))]
    assert days == [f"date={day}" for day in tiny.window.days]
    assert query(f"SELECT * FROM {table.name} WHERE event_time::DATE <> date").empty
    rows = pq.read_table(world / table.name / days[20] / "part-0.parquet").select(table.column_names).to_pandas()
    pd.testing.assert_frame_equal(rows, rows.sort_values(table.sort_order, kind="stable", ignore_index=True))


def test_registers_come_on_the_first_day_and_change_later(query: Query, tiny: WorldSettings) -> None:
    users = query("SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY updated_at) AS nth FROM users")
    assert (users[users["nth"] == 1]["date"] == pd.Timestamp(tiny.first_day)).all()
    later = users[users["nth"] > 1]
    assert len(later) and (later["date"] > pd.Timestamp(tiny.first_day)).all()
    assert (later["updated_at"].dt.normalize() == later["date"]).all()
    assert not later["consent"].all(), "somebody withdraws"
    assert later["consent"].any(), "somebody moves"


def test_advertisers_enter_and_leave_and_are_silent_outside_their_days(open_logs: OpenLogs, tmp_path: Path) -> None:
    settings = WorldSettings(users=500, advertisers=40, ads=60, days=28, entering=0.2, leaving=0.2)
    simulate(settings, 2, tmp_path / "landing")
    query = open_logs(tmp_path / "landing")
    register = query(
        "SELECT * FROM advertisers QUALIFY row_number() OVER (PARTITION BY advertiser_id ORDER BY date DESC) = 1"
    )
    assert len(register) == settings.advertisers and register["name"].is_unique
    entered = register["active_from"] > pd.Timestamp(settings.first_day)
    assert entered.sum() >= 4 and register["active_to"].notna().sum() >= 4
    for table, join in (("conversions", ""), ("activity", ""), ("impressions", "JOIN ads USING (ad_id)")):
        seen = query(f"SELECT DISTINCT advertiser_id, t.date FROM {table} t {join}").merge(register, on="advertiser_id")
        assert (seen["date_x"] >= seen["active_from"]).all()
        assert not (seen["date_x"] > seen["active_to"]).any()
        assert seen["advertiser_id"].isin(register.loc[entered, "advertiser_id"]).any()


def test_the_world_is_as_long_as_its_settings(tiny: WorldSettings) -> None:
    assert tiny.window.first == tiny.first_day
    assert tiny.window.last == tiny.first_day + timedelta(days=66)


def test_ids_tell_no_vertical_and_no_popularity(query: Query) -> None:
    """Ids are drawn in no order: neighbours are of one vertical no more often than chance, ranks do not follow them."""
    rows = query(
        """SELECT advertiser_id, any_value(vertical) AS vertical, count(conversion_id) AS n
           FROM advertisers LEFT JOIN conversions USING (advertiser_id) GROUP BY 1 ORDER BY 1"""
    )
    alike = (rows["vertical"] == rows["vertical"].shift()).mean()
    assert alike < 0.35
    assert abs(rows["n"].corr(pd.Series(range(len(rows))), method="spearman")) < 0.45
