"""What an evaluation returns, and its form in report.json.

    metrics:     {arm: {metric: {"value", "low", "high"}}}
    differences: [{"metric", "arm", "against", "value", "low", "high", "minimum_effect"}]

A number that the sample cannot give (no target is new, labels of one class only) is nan here and null in
JSON, never 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % percentile interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | None]:
        """Keys value, low, high."""
        return {"value": number(self.value), "low": number(self.low), "high": number(self.high)}


@dataclass(frozen=True)
class Difference:
    """`arm` minus `against` in one metric, paired over the same users."""

    metric: str
    arm: str
    against: str
    value: float
    low: float
    high: float
    standard_error: float
    minimum_effect: float
    """Smallest true difference that this sample would have shown in four of five repetitions."""

    @property
    def is_clear(self) -> bool:
        """Does the interval exclude 0?"""
        return self.low > 0 or self.high < 0

    def as_json(self) -> dict[str, Any]:
        """Keys metric, arm, against, value, low, high, minimum_effect."""
        return {
            "metric": self.metric,
            "arm": self.arm,
            "against": self.against,
            "value": number(self.value),
            "low": number(self.low),
            "high": number(self.high),
            "minimum_effect": number(self.minimum_effect),
        }


@dataclass(frozen=True)
class Evaluation:
    """Every metric of every arm, and the differences asked for."""

    users: int
    """Users resampled."""
    metrics: dict[str, dict[str, Interval]]
    differences: list[Difference]

    def metrics_json(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """arm -> metric -> {"value", "low", "high"}."""
        return {
            arm: {metric: interval.as_json() for metric, interval in by_metric.items()}
            for arm, by_metric in self.metrics.items()
        }

    def differences_json(self) -> list[dict[str, Any]]:
        """One object a difference."""
        return [difference.as_json() for difference in self.differences]


def number(value: float) -> float | None:
    """A plain float, None where there is no value."""
    return float(value) if math.isfinite(value) else None
