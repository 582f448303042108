"""Turns outcomes of `ml.validation` and plain findings into Dagster check results that a person can read."""

from typing import Any

import dagster as dg
import pandas as pd

from ml.validation.outcome import Outcome


def as_result(
    check: str | None, asset: str | None, outcome: Outcome, **tables: list[dict[str, Any]]
) -> dg.AssetCheckResult:
    """A check result whose description says threshold and observed value, with example rows as tables.

    Args:
        check: name of the check; None where a function holds only one.
        asset: likewise.
        outcome: what the validation found.
        tables: further rows to show, by title.
    """
    metadata: dict[str, Any] = {"expectations": markdown(outcome.results)}
    if outcome.examples:
        metadata["rows_that_break_it"] = markdown(outcome.examples)
    metadata |= {title: markdown(rows) for title, rows in tables.items() if rows}
    rows = [*outcome.examples[:2], *(row for found in tables.values() for row in found[:2])]
    hint = f"; example rows: {rows}" if rows and not outcome.passed else ""
    return dg.AssetCheckResult(
        check_name=check, asset_key=asset, passed=outcome.passed, description=outcome.message + hint, metadata=metadata
    )


def plain(
    passed: bool, description: str, *, warn_only: bool = False, check: str | None = None, **metadata: Any
) -> dg.AssetCheckResult:
    """A check result without Great Expectations; with `warn_only` a failure warns and does not block."""
    severity = dg.AssetCheckSeverity.WARN if warn_only else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        passed=passed, severity=severity, description=description, metadata=metadata, check_name=check
    )


def markdown(rows: list[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    """Rows as a Markdown table."""
    if not rows:
        return dg.MetadataValue.md("(no rows)")
    frame = pd.DataFrame(rows).astype(str)
    lines = [frame.columns, ["---"] * len(frame.columns), *frame.to_numpy()]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in cells))
