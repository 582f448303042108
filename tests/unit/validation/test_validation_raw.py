"""Checks of the raw tables: each rule is broken by construction, and the message must say how."""

from __future__ import annotations

import pandas as pd
import pytest

from ml.sources.contract import TABLES
from ml.validation.raw import check_schema, check_values, check_volumes

ACTIVITY = TABLES["activity"]


def activity(**changed) -> pd.DataFrame:
    columns = {
        "event_id": ["e1", "e2", "e3"],
        "user_id": ["u1", "u1", "u2"],
        "event_time": pd.to_datetime(["2026-03-01 10:00"] * 3),
        "kind": ["search", "visit", "save"],
        "text": ["trail shoes", None, None],
        "url": [None, "https://example.com/secret", None],
        "category": ["shoes"] * 3,
        "advertiser_id": [None] * 3,
    }
    return pd.DataFrame({**columns, **changed})


def test_sound_rows_pass():
    assert check_values(ACTIVITY, activity()).passed


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        ({"event_id": ["e1", "e1", "e3"]}, "event_id"),
        ({"user_id": ["u1", None, "u2"]}, "user_id"),
        ({"kind": ["search", "visit", "stare"]}, "kind"),
    ],
)
def test_each_broken_rule_is_named_with_example_rows(changed, column):
    outcome = check_values(ACTIVITY, activity(**changed))
    assert not outcome.passed
    assert outcome.message.startswith(f"{column}: ")
    assert outcome.examples and all(column in row for row in outcome.examples)


def test_range_says_threshold_and_observed_value():
    ads = pd.DataFrame(
        {
            "ad_id": ["a"],
            "advertiser_id": ["x"],
            "title": [None],
            "category": ["c"],
            "price": [-5.0],
            "created_at": [None],
        }
    )
    message = check_values(TABLES["ads"], ads).message
    assert "at least 0" in message and "-5.0" in message


def test_private_columns_never_show():
    outcome = check_values(ACTIVITY, activity(kind=["search", "stare", "save"]))
    assert "secret" not in str(outcome) and "trail" not in str(outcome)


def test_schema_names_missing_wrong_and_extra_columns():
    types = {column.name: column.type for column in ACTIVITY.columns}
    assert check_schema(ACTIVITY, types).passed
    del types["kind"]
    types |= {"event_time": "VARCHAR", "shoe_size": "DOUBLE"}
    outcome = check_schema(ACTIVITY, types)
    assert not outcome.passed
    assert {row["column"] for row in outcome.examples} == {"kind", "event_time", "shoe_size"}


def volumes(last_rows: int, last_quarantined: int = 0) -> pd.DataFrame:
    days = [f"2026-03-{i:02d}" for i in range(1, 21)]
    return pd.DataFrame({"day": days, "rows": [100] * 19 + [last_rows], "quarantined": [0] * 19 + [last_quarantined]})


def judge(frame: pd.DataFrame, *, judge_ratio: bool = True, days: tuple[str, ...] = ("2026-03-20",)):
    limits = {"max_quarantined": 0.02, "min_ratio": 0.3, "max_ratio": 4.0}
    return check_volumes(frame, list(days), judge_ratio=judge_ratio, what="days of activity", **limits)


@pytest.mark.parametrize(("rows", "quarantined", "passed"), [(100, 0, True), (98, 2, True), (97, 3, False)])
def test_quarantined_share_has_a_limit(rows, quarantined, passed):
    outcome = judge(volumes(rows, quarantined))
    assert outcome.passed == passed
    if not passed:
        assert "at most 0.02" in outcome.message and "0.03" in outcome.message


@pytest.mark.parametrize(("rows", "passed"), [(29, False), (31, True), (399, True), (401, False)])
def test_volume_is_judged_against_the_days_before(rows, passed):
    assert judge(volumes(rows)).passed == passed


def test_registers_and_sparse_logs_are_not_judged_by_volume():
    assert judge(volumes(0), judge_ratio=False).passed


def test_only_the_days_of_the_run_are_judged():
    frame = volumes(100)
    frame.loc[10, "quarantined"] = 50
    assert judge(frame).passed
    assert not judge(frame, days=("2026-03-11", "2026-03-20")).passed
