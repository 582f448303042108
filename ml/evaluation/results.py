"""What an evaluation returns, and its form in report.json.

    metrics:     {arm: {metric: {"value", "low", "high"}}}
    differences: [{"metric", "arm", "against", "value", "low", "high", "minimum_effect", "p_holm"}]

A number that the sample cannot give (no target is new, labels of one class only) is nan here and null in
JSON, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
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

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference at all: normal, with the bootstrap's standard error; nan where there is none.

        Draws alone could not tell p below 2 / (draws + 1), which a correction for many arms needs.
        """
        if self.standard_error == 0:
            return float(self.value == 0)
        return math.erfc(abs(self.value) / self.standard_error / math.sqrt(2))

    def as_json(self, p_holm: float) -> dict[str, Any]:
        """Keys metric, arm, against, value, low, high, minimum_effect, p_holm (see `holm`)."""
        return {
            "metric": self.metric,
            "arm": self.arm,
            "against": self.against,
            "value": number(self.value),
            "low": number(self.low),
            "high": number(self.high),
            "minimum_effect": number(self.minimum_effect),
            "p_holm": number(p_holm),
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

    def differences_json(self, metrics: Collection[str] | None = None) -> list[dict[str, Any]]:
        """One object a difference; of some metrics only, if they are named."""
        adjusted = holm(self.differences)
        return [
            difference.as_json(p)
            for difference, p in zip(self.differences, adjusted, strict=True)
            if metrics is None or difference.metric in metrics
        ]


def holm(differences: Sequence[Difference]) -> list[float]:
    """p-values corrected for the number of arms compared in the same metric (Holm 1979), in the order given.

    Among all true ties of a metric, the chance that any of these lies below .05 is at most 5 %, whatever their
    dependence. A difference without a p-value (nan) stays without, and is not counted.
    """
    found = [math.nan] * len(differences)
    for metric in {difference.metric for difference in differences}:
        family = [i for i, d in enumerate(differences) if d.metric == metric and math.isfinite(d.p_value)]
        at_least = 0.0
        for place, i in enumerate(sorted(family, key=lambda i: differences[i].p_value)):
            at_least = max(at_least, min(1.0, (len(family) - place) * differences[i].p_value))
            found[i] = at_least
    return found


def number(value: float) -> float | None:
    """A plain float, None where there is no value."""
    return float(value) if math.isfinite(value) else None
