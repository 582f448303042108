"""Runs expectations over a frame and says in words what failed: threshold, observed value, example rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Outcome:
    """Result of one check.

    Attributes:
        passed: did every expectation hold?
        message: one line per failed expectation, or what was checked.
        results: one row per expectation: expectation, column, threshold, observed, passed.
        examples: rows that broke one, as dictionaries.
    """

    passed: bool
    message: str
    results: list[dict[str, Any]] = field(default_factory=list)
    examples: list[dict[str, Any]] = field(default_factory=list)


def validate(
    frame: pd.DataFrame, expectations: list[Any], what: str, *, private: frozenset[str] = frozenset()
) -> Outcome:
    """Validate a frame with Great Expectations, on its in-memory pandas engine.

    Args:
        frame: the rows, or an aggregate of them.
        expectations: Great Expectations objects.
        what: names the frame in the message.
        private: columns whose values may appear in no message and no example.
    """
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = _no_bars()
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset(what)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    found = batch.validate(gx.ExpectationSuite(name=what, expectations=expectations), result_format="COMPLETE")
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    bad_rows: list[Any] = []
    for result in found.results:
        config = result.expectation_config
        row = {
            "expectation": config.type.removeprefix("expect_"),
            "column": config.kwargs.get("column", "(table)"),
            "threshold": _threshold(config.kwargs),
            "observed": _observed(result.result, hide=config.kwargs.get("column") in private),
            "passed": bool(result.success),
        }
        rows.append(row)
        if not result.success:
            failures.append(_sentence(row, result))
            bad = result.result.get("unexpected_index_list") or []
            bad_rows += [row for row in bad if row not in bad_rows]
    message = "; ".join(failures) if failures else f"{what}: {len(rows)} expectations hold over {len(frame):,} rows"
    shown = [name for name in frame.columns if name not in private]
    examples = [{str(k): str(v) for k, v in row.items()} for row in frame.loc[bad_rows[:5], shown].to_dict("records")]
    return Outcome(not failures, message, rows, examples)


def _sentence(row: dict[str, Any], result: Any) -> str:
    if result.exception_info.get("raised_exception"):
        return f"{row['column']}: {result.exception_info['exception_message']}"
    return f"{row['column']}: {row['expectation']}: expected {row['threshold']}, observed {row['observed']}"


def _threshold(kwargs: dict[str, Any]) -> str:
    parts = []
    if kwargs.get("min_value") is not None:
        parts.append(f"at least {kwargs['min_value']}")
    if kwargs.get("max_value") is not None:
        parts.append(f"at most {kwargs['max_value']}")
    for name in ("value_set", "column_set", "type_list", "regex"):
        if kwargs.get(name) is not None:
            parts.append(f"{name.replace('_', ' ')} {kwargs[name]}")
    return ", ".join(parts) or "every row"


def _observed(result: dict[str, Any], *, hide: bool) -> str:
    if result.get("observed_value") is not None:
        return str(result["observed_value"])
    count, examples = result.get("unexpected_count", 0), result.get("partial_unexpected_list", [])
    shown = "" if hide else ", ".join(str(e) for e in examples[:3])
    return f"{count} rows that break it{f' (such as {shown})' if count and shown else ''}"


def _no_bars() -> Any:
    from great_expectations.data_context.types.base import ProgressBarsConfig

    return ProgressBarsConfig(globally=False, metric_calculations=False)
