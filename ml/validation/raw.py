"""Suites of the raw tables, derived from the contract: a rule is written once, in `ml.sources.contract`."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ml.sources.contract import PRIVATE, Table
from ml.validation.outcome import Outcome, validate

SAMPLE_ROWS = 200_000
"""Rows of a table that the value rules look at; the rules over whole days see every row."""


def check_schema(table: Table, found: dict[str, str]) -> Outcome:
    """The lake's columns and types are those of the contract.

    Args:
        table: the contract.
        found: DuckDB type of each column in the lake.
    """
    import great_expectations.expectations as gxe

    expected = {column.name: column.type for column in table.columns}
    names = sorted({*expected, *found})
    frame = pd.DataFrame(
        {
            "column": names,
            "expected_type": [expected.get(name, "(not in the contract)") for name in names],
            "found_type": [found.get(name, "(missing)") for name in names],
        }
    )
    rule = gxe.ExpectColumnPairValuesToBeEqual(column_A="expected_type", column_B="found_type")
    return validate(frame, [rule], f"schema of {table.name}")


def check_values(table: Table, sample: pd.DataFrame) -> Outcome:
    """Nulls, keys, allowed values and ranges of a table.

    Args:
        table: the contract.
        sample: rows of the lake as DuckDB gives them to pandas.
    """
    import great_expectations.expectations as gxe

    rules: list[Any] = [gxe.ExpectColumnValuesToBeUnique(column=table.key)]
    for column in table.columns:
        if not column.nullable:
            rules.append(gxe.ExpectColumnValuesToNotBeNull(column=column.name))
        if column.allowed:
            rules.append(gxe.ExpectColumnValuesToBeInSet(column=column.name, value_set=list(column.allowed)))
        if column.minimum is not None or column.maximum is not None:
            bounds = {"min_value": column.minimum, "max_value": column.maximum}
            rules.append(gxe.ExpectColumnValuesToBeBetween(column=column.name, **bounds))
    return validate(sample, rules, f"values of {table.name}", private=PRIVATE)


def check_volumes(
    volumes: pd.DataFrame,
    days: list[str],
    *,
    max_quarantined: float,
    min_ratio: float,
    max_ratio: float,
    judge_ratio: bool,
    what: str,
) -> Outcome:
    """Quarantined share of each day, and its rows against the median of the 14 days before it.

    Args:
        volumes: columns day (ISO), rows, quarantined; every day known so far, oldest first.
        days: the days this run brought; only they are judged.
        max_quarantined: highest share of a day's rows that may sit in quarantine.
        min_ratio, max_ratio: bounds of rows / median; judged where at least 7 days came before, of 50 rows or more.
        judge_ratio: False for registers and sparse logs, whose daily volume says nothing.
    """
    import great_expectations.expectations as gxe

    frame = day_measures(volumes)
    frame = frame[frame["day"].isin(days)].reset_index(drop=True)
    rules = [gxe.ExpectColumnValuesToBeBetween(column="quarantined_share", max_value=max_quarantined)]
    if judge_ratio and frame["volume_ratio"].notna().any():
        rules.append(gxe.ExpectColumnValuesToBeBetween(column="volume_ratio", min_value=min_ratio, max_value=max_ratio))
    return validate(frame, rules, what)


def day_measures(volumes: pd.DataFrame) -> pd.DataFrame:
    """With each day's quarantined_share and its volume_ratio: rows over the median of the 14 days before, where at
    least 7 came before, of 50 rows or more; else null.

    Args:
        volumes: columns day, rows, quarantined, oldest first.
    """
    delivered = (volumes["rows"] + volumes["quarantined"]).clip(lower=1)
    before = volumes["rows"].shift(1).rolling(14, min_periods=7).median()
    return volumes.assign(
        quarantined_share=volumes["quarantined"] / delivered,
        volume_ratio=(volumes["rows"] / before.where(before >= 50)).astype(float),
    )
