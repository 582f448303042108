"""Where things stand in the drawing of recall by quota. It draws nothing: section_quota.html does."""

from __future__ import annotations

from dataclasses import dataclass

from ml.report.charts import Scale
from ml.report.measures import Measure, measure
from ml.report.schema import Gain, Interval, QuotaChoice, QuotaPoint

APART = 0.6
"""Distance of the two marks of a quota from its place, in per cent of the width."""
EDGE = 1.4
"""Least distance of that place from the edges: marks must not cover the labels."""


@dataclass(frozen=True)
class Row:
    """A quota of the table: (recall, gain) on validation and test; concentration on test."""

    quota: float
    figures: list[tuple[Interval | None, Gain | None]]
    top10_share: float
    gini: float


@dataclass(frozen=True)
class QuotaPlot:
    """Recall over the quota."""

    measure: Measure
    across: Scale
    up: Scale
    used_at: float
    series: dict[str, list[tuple[float, Interval | None]]]
    rows: list[Row]


def quota_plot(choice: QuotaChoice | None) -> QuotaPlot | None:
    """The plot; None without a curve."""
    if choice is None or not choice.test_curve:
        return None
    across = Scale.to(1.0)
    curves: dict[str, list[QuotaPoint]] = {"validation": choice.curve, "test": choice.test_curve}
    shift = {"validation": -APART, "test": APART}
    series = {
        name: [
            (round(min(max(across.at(p.quota), EDGE), 100 - EDGE) + shift[name], 2), getattr(p, choice.metric))
            for p in points
        ]
        for name, points in curves.items()
        if points
    }
    known = [figure for points in series.values() for _, figure in points if figure is not None]
    before = {point.quota: point for point in choice.curve}
    rows = [
        Row(
            point.quota,
            [_of(before.get(point.quota), choice.metric), _of(point, choice.metric)],
            point.top10_share,
            point.gini,
        )
        for point in choice.test_curve
    ]
    up = Scale.over([end for figure in known for end in (figure.low, figure.high)])
    return QuotaPlot(measure(choice.metric), across, up, across.at(choice.quota), series, rows)


def _of(point: QuotaPoint | None, metric: str) -> tuple[Interval | None, Gain | None]:
    return (None, None) if point is None else (getattr(point, metric), point.gain.get(metric))
