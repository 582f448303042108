"""Numbers as a reader sees them: sensible digits, real minus signs, "n/a" for what means nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

from ml.report.measures import Unit
from ml.report.schema import Difference, Interval

NOTHING = "n/a"
MINUS, SPACE = "\u2212", "\u00a0"


def number(value: float | None, decimals: int = 0, *, signed: bool = False) -> str:
    """1234.5 -> "1,234.5"; a rounded zero carries no sign."""
    if value is None:
        return NOTHING
    text = f"{abs(value):,.{decimals}f}"
    if not any(digit in "123456789" for digit in text):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def share(value: float | None, decimals: int = 1) -> str:
    """0.243 -> "24.3 %"."""
    return NOTHING if value is None else f"{number(value * 100, decimals)}{SPACE}%"


def decimals_for(widths: Iterable[float | None], unit: Unit) -> int:
    """Decimals so fine that a typical interval is at least 25 of its last digit wide: one precision a column.

    Args:
        widths: high - low of the intervals in the column; nulls and zeros tell nothing.
    """
    known = [w * _factor(unit) for w in widths if w]
    if not known:
        return 1 if unit == "share" else 4
    lowest, highest = (1, 3) if unit == "share" else (2, 6)
    return max(lowest, min(highest, math.ceil(-math.log10(median(known) / 25))))


def value_text(value: float | None, unit: Unit, decimals: int) -> str:
    """A figure in its unit: "24.3 %" or "0.7421"."""
    return share(value, decimals) if unit == "share" else number(value, decimals)


def range_text(low: float | None, high: float | None, unit: Unit, decimals: int, *, signed: bool = False) -> str:
    """Its interval without the unit: "[22.1, 26.6]", never broken over lines."""
    if low is None or high is None:
        return ""
    factor = _factor(unit)
    ends = (number(end * factor, decimals, signed=signed) for end in (low, high))
    return f"[{f',{SPACE}'.join(ends)}]"


def interval_text(interval: Interval | None, unit: Unit, decimals: int) -> str:
    """Figure and interval: "24.3 % [22.1, 26.6]"."""
    if interval is None:
        return NOTHING
    return f"{value_text(interval.value, unit, decimals)} {range_text(interval.low, interval.high, unit, decimals)}"


def effect_text(value: float | None, unit: Unit, decimals: int, *, signed: bool = True) -> str:
    """A difference in its unit: "+3.3 points" (percentage points) or "+0.0031"."""
    if value is None:
        return NOTHING
    text = number(value * _factor(unit), decimals, signed=signed)
    return f"{text}{SPACE}points" if unit == "share" else text


def p_text(p: float | None) -> str:
    """A p-value: "0.032", "< 0.001"."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else number(p, 3)


def difference_text(difference: Difference, unit: Unit, decimals: int) -> str:
    """Difference and interval: "+3.3 points [+1.9, +4.7]"."""
    effect = effect_text(difference.value, unit, decimals)
    return f"{effect} {range_text(difference.low, difference.high, unit, decimals, signed=True)}".strip()


def width(figure: Interval | Difference | None) -> float | None:
    """high - low, or None where there is no interval."""
    if figure is None or figure.low is None or figure.high is None:
        return None
    return figure.high - figure.low


def duration(seconds: float) -> str:
    """612.3 -> "10 min 12 s"; below a minute "9.4 s"."""
    if seconds < 60:
        return f"{number(seconds, 1)}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}{SPACE}h {minutes}{SPACE}min" if hours else f"{minutes}{SPACE}min"
    return f"{head} {rest}{SPACE}s"


def _factor(unit: Unit) -> float:
    return 100.0 if unit == "share" else 1.0
