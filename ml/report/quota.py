"""Where things stand in the drawing of recall by quota. It draws nothing: section_quota.html does."""

from __future__ import annotations

from dataclasses import dataclass

from ml.report.charts import Scale
from ml.report.measures import Measure, measure
from ml.report.schema import Gain, Interval, QuotaChoice, QuotaPoint

METRICS = ("advertiser_recall", "new_advertiser_recall", "ad_recall")
"""In the table: first the one that the quota is chosen by, which alone is drawn."""
APART = 0.6
"""Distance of the two marks of a quota from its place, in per cent of the width."""
EDGE = 1.4
"""Least distance of that place from the edges: marks must not cover the labels."""


@dataclass(frozen=True)
class Row:
    """A measure under a quota: (recall, gain) on validation and test."""

    measure: Measure
    quota: float
    figures: list[tuple[Interval | None, Gain | None]]


@dataclass(frozen=True)
class QuotaPlot:
    """Recall over the quota."""

    measure: Measure
    across: Scale
    up: Scale
    used_at: float
    series: dict[str, list[tuple[float, Interval | None]]]
    rows: list[Row]
    spread: list[tuple[float, list[QuotaPoint | None]]]
    """Of each quota its point on validation and test, for how candidates spread."""


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
    places = [{point.quota: point for point in points} for points in curves.values()]
    spread = [
        (quota, [found.get(quota) for found in places]) for quota in sorted({q for found in places for q in found})
    ]
    rows = [
        Row(measure(metric), quota, [_of(point, metric) for point in points])
        for metric in (choice.metric, *(name for name in METRICS if name != choice.metric))
        for quota, points in spread
    ]
    up = Scale.over([end for figure in known for end in (figure.low, figure.high)])
    return QuotaPlot(measure(choice.metric), across, up, across.at(choice.quota), series, rows, spread)


def _of(point: QuotaPoint | None, metric: str) -> tuple[Interval | None, Gain | None]:
    return (None, None) if point is None else (getattr(point, metric), point.gain.get(metric))
