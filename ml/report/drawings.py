"""Where things stand in the one-off drawings: timeline, loss curve, reliability.

It draws nothing: charts.html does. Positions are per cent of the plot's width or height.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from ml.report.charts import Scale
from ml.report.schema import LossPoint, ReliabilityBin, TimelineDays

DAYS_BEFORE_CUTOFF = 12
"""How much of the (longer) past the timeline shows."""
TICK_GAP = 20
"""Least distance of two ticks of a square-root axis, in per cent of it."""


@dataclass(frozen=True)
class Span:
    """One stretch of days: `left` and `width` in per cent of the drawing."""

    key: str
    title: str
    days: str
    meaning: str
    left: float
    width: float


@dataclass(frozen=True)
class LossCurve:
    """Loss over tokens: paths in a 100 x 100 box with y pointing down."""

    across: Scale
    up: Scale
    training: str
    validation: list[tuple[float, float]]
    chance: float
    chance_at: float


@dataclass(frozen=True)
class Reliability:
    """Predicted and observed rates on equal square-root axes, so that rare rates do not crowd in a corner."""

    ticks: list[tuple[float, float]]
    """(rate, position)."""
    series: dict[str, list[tuple[float, float]]]


def timeline(days: TimelineDays, as_of: date) -> list[Span]:
    """The slices of the snapshot day, in the order of time."""
    start = days.predictor_cutoff - timedelta(days=DAYS_BEFORE_CUTOFF)
    total = (days.test_closes - start).days + 1

    def span(key: str, title: str, first: date, last: date, meaning: str, *, shown: str = "") -> Span:
        left, right = max(0, (first - start).days), (last - start).days + 1
        text = shown or (f"{first} to {last}" if first != last else str(first))
        return Span(key, title, text, meaning, round(100 * left / total, 2), round(100 * (right - left) / total, 2))

    one = timedelta(days=1)
    parts = [
        span(
            "predictors",
            "predictors learn",
            start,
            days.predictor_cutoff,
            "every label a predictor trains on is known by the end of this",
            shown=f"up to {days.predictor_cutoff}",
        ),
        span("ranker", "ranker learns", days.ranker.first, days.ranker.last, "impressions the ranker trains on"),
        span(
            "calibration",
            "calibration",
            days.calibration.first,
            days.calibration.last,
            "impressions it is calibrated on",
        ),
    ]
    if days.calibration.last < as_of:
        meaning = f"outcomes come in until the snapshot day {as_of}; nothing after it may be seen"
        parts.append(span("wait", "outcomes close", days.calibration.last + one, as_of, meaning))
    meaning = f"label window of the snapshot day ({days.label_window_days} days): what the forecasts are judged on"
    parts.append(span("test", "test", days.test.first, days.test.last, meaning))
    if days.test.last < days.test_closes:
        parts.append(
            span("closes", "test closes", days.test.last + one, days.test_closes, "late outcomes of the test come in")
        )
    return parts


def loss_curve(points: list[LossPoint], catalogue: float) -> LossCurve:
    """The curve, with the loss of a uniform guess over the catalogue (ln of its size) as the line to beat."""
    chance = math.log(max(catalogue, 1))
    losses = [x for p in points for x in (p.loss, p.validation_loss)]
    across = Scale.to(max((float(p.tokens) for p in points), default=1.0))
    up = Scale.over([*losses, chance])
    at = [(across.at(p.tokens), 100 - up.at(p.loss)) for p in points]
    path = " ".join(f"{'L' if i else 'M'}{x:g} {y:g}" for i, (x, y) in enumerate(at))
    validation = [
        (across.at(p.tokens), round(100 - up.at(p.validation_loss), 2)) for p in points if p.validation_loss is not None
    ]
    return LossCurve(across, up, path, validation, chance, 100 - up.at(chance))


def reliability(arms: Mapping[str, list[ReliabilityBin]]) -> Reliability:
    """Bins of every arm on shared axes."""
    rates = [x for bins in arms.values() for b in bins for x in (b.predicted, b.observed)]
    top = Scale.over(rates, zero=True, ticks=5)

    def at(rate: float) -> float:
        return round(100 * math.sqrt(max(0.0, rate) / top.high), 2)

    ticks = [(0.0, 0.0)]
    for rate in (m * 10.0**p for p in range(-6, 1) for m in (1, 2, 5)):
        if rate <= top.high and at(rate) >= ticks[-1][1] + TICK_GAP:
            ticks.append((rate, at(rate)))
    return Reliability(ticks, {arm: [(at(b.predicted), at(b.observed)) for b in bins] for arm, bins in arms.items()})
