"""A drift report in words: one line a row for a table, one sentence a row for checks and alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ml.monitoring.drift import DriftReport

_WORDS = {"too_few": "too few to judge"}


def lines(report: DriftReport) -> list[dict[str, str]]:
    """Rows of the table, the gravest first."""
    order = {"alert": 0, "warn": 1, "ok": 2, "too_few": 3}
    return [line(asdict(row)) for row in sorted(report.rows, key=lambda row: order[row.verdict])]


def line(row: Mapping[str, Any]) -> dict[str, str]:
    """One row (a dictionary of `ml.monitoring.drift.Row`'s fields) for a table."""
    return {
        "feature": row["title"],
        "verdict": _WORDS.get(row["verdict"], row["verdict"]),
        "statistic": "PSI" if row["statistic"] == "psi" else "share",
        "value": f"{row['value']:.3f}",
        "alerts from": f"{row['threshold']:g}",
        "JS": "" if row["js"] is None else f"{row['js']:.3f}",
        "p": _p(row["p_value"]),
        "n": f"{row['n']:,}",
        "n of reference": f"{row['n_reference']:,}",
        "moved most": "; ".join(map(_move, row["moved"])) if row["statistic"] == "psi" else "",
    }


def sentence(row: Mapping[str, Any]) -> str:
    """One row for a person: what moved, how far, against which threshold, on how much data."""
    if row["statistic"] == "psi":
        moved = ", ".join(map(_move, row["moved"]))
        return (
            f"{row['title']}: PSI {row['value']:.2f} (alerts from {row['threshold']:g}, n = {row['n']:,}); "
            f"most moved: {moved}"
        )
    usual, now = row["moved"][0]["reference"], row["moved"][0]["now"]
    if row["concern"] == "quarantine":
        return f"{row['title']}: {now:.1%} (alerts from {row['threshold']:.1%}, n = {row['n']:,})"
    return f"{row['title']}: {now:.1%}, usually {usual:.1%} (alerts from +{row['threshold']:.1%}, n = {row['n']:,})"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 1e-12" if value < 1e-12 else f"{value:.2g}" if value >= 0.01 else f"{value:.0e}"


def _move(moved: Mapping[str, Any]) -> str:
    return f"{moved['value']} {moved['reference']:.1%} to {moved['now']:.1%}"
