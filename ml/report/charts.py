"""Where things stand in the plots of intervals: scales in per cent, so that a plot is as wide as the page.

It draws nothing: charts.html does. Positions are per cent of the plot's width or height.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ml.report.formats import decimals_for, number, width
from ml.report.measures import GROUPS, RANKED_AT, Measure, Unit, arm_label, measure
from ml.report.schema import Difference, Interval
from ml.report.verdict import Outcome, outcome_of

PANELS = ("", "new_")
"""Groups of recall@k that are drawn; the others are in the table."""
PREDICTOR_FORESTS = ("recall@10", "new_recall@10")
"""Measures of predictors whose differences are drawn; the others are in the table."""
KINDS = {"recall": "Recall", "ndcg": "NDCG", "mrr": "MRR"}
LABEL_ROOM = 20
"""Characters of tick labels that fit under the narrowest plot."""


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high` with round ticks."""

    low: float
    high: float
    step: float

    @classmethod
    def over(cls, values: Iterable[float | None], *, zero: bool = False, ticks: int = 4) -> Scale:
        """The smallest axis with round ends over `values` (and zero, if asked)."""
        known = [v for v in values if v is not None] + ([0.0] if zero else [])
        low, high = min(known, default=0.0), max(known, default=1.0)
        if high - low < 1e-6:  # no figure of a report is finer
            spread = max(abs(low), abs(high), 0.01) / 10
            low, high = low - spread, high + spread
        raw = (high - low) / ticks
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
        return cls(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step)

    @classmethod
    def to(cls, high: float) -> Scale:
        """An axis from zero that ends exactly at `high`, with round ticks before it."""
        return cls(0.0, high, cls.over([high], zero=True).step)

    def at(self, value: float) -> float:
        """Position of `value` in per cent, kept within the axis."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)

    @property
    def ticks(self) -> list[float]:
        count = math.floor((self.high - self.low) / self.step + 1e-9)
        return [self.low + i * self.step for i in range(count + 1)]

    def labels(self, unit: Unit, *, signed: bool = False) -> list[tuple[float, str]]:
        """(position, text) of each tick; shares in per cent, without the sign of it."""
        factor = 100 if unit == "share" else 1
        decimals = _places(self.step * factor)
        return [(self.at(t), number(t * factor, decimals, signed=signed)) for t in self.ticks]

    def sparse_labels(self, unit: Unit, *, signed: bool = False) -> list[tuple[float, str]]:
        """As many of the labels as fit side by side on a phone, the lowest tick or zero among them."""
        labels = self.labels(unit, signed=signed)
        stride = -(-sum(len(text) for _, text in labels) // LABEL_ROOM)
        start = next((i for i, t in enumerate(self.ticks) if abs(t) < self.step / 2), 0) % stride
        return labels[start::stride]


@dataclass(frozen=True)
class ForestRow:
    arm: str
    difference: Difference
    outcome: Outcome

    @property
    def label(self) -> str:
        return f"{arm_label(self.difference.arm)} vs {arm_label(self.difference.against)}"


@dataclass(frozen=True)
class ForestGroup:
    """Paired differences of one metric on one axis, zero included."""

    metric: str
    measure: Measure
    scale: Scale
    decimals: int
    rows: list[ForestRow]


@dataclass(frozen=True)
class ValueGroup:
    """One metric of several arms on one axis."""

    metric: str
    measure: Measure
    scale: Scale
    decimals: int
    rows: list[tuple[str, Interval | None]]

    @property
    def measured(self) -> bool:
        """Whether any arm has a figure."""
        return any(figure is not None for _, figure in self.rows)


@dataclass(frozen=True)
class RecallPanel:
    """recall@k (or another kind) of every source in one group of targets: `series[arm][k]`."""

    group: str
    kind: str
    title: str
    ks: list[int]
    series: dict[str, dict[int, Interval | None]]
    unit: Unit
    decimals: int


def forest(differences: list[Difference]) -> list[ForestGroup]:
    """The differences, grouped by metric in the order in which they come."""
    groups = []
    for metric in dict.fromkeys(d.metric for d in differences):
        mine = [d for d in differences if d.metric == metric]
        least = max((d.minimum_effect or 0.0 for d in mine), default=0.0)
        ends = [*(x for d in mine for x in (d.low, d.high)), least, -least]
        known = measure(metric)
        decimals = decimals_for([width(d) for d in mine], known.unit)
        rows = [ForestRow(d.arm, d, outcome_of(d)) for d in mine]
        groups.append(ForestGroup(metric, known, Scale.over(ends, zero=True), decimals, rows))
    return groups


def values(arms: Mapping[str, Mapping[str, Interval | None]]) -> list[ValueGroup]:
    """Figures of arms (`arms[arm][metric]`), grouped by metric."""
    groups = []
    for metric in dict.fromkeys(m for figures in arms.values() for m in figures):
        rows = [(arm, figures.get(metric)) for arm, figures in arms.items()]
        ends = [x for _, f in rows if f is not None for x in (f.low, f.high)]
        known = measure(metric)
        decimals = decimals_for([width(f) for _, f in rows], known.unit)
        groups.append(ValueGroup(metric, known, Scale.over(ends), decimals, rows))
    return groups


def recall_panels(predictors: Mapping[str, Mapping[str, Interval | None]]) -> list[RecallPanel]:
    """recall@k, ndcg@k and mrr@k of all sources, a panel for each group of targets."""
    found = [hit for p in predictors.values() for name in p if (hit := RANKED_AT.match(name))]
    panels = []
    for who, kind in dict.fromkeys((hit["who"] or "", hit["kind"]) for hit in found):
        ks = sorted({int(hit["k"]) for hit in found if (hit["who"] or "", hit["kind"]) == (who, kind)})
        series = {arm: {k: p.get(f"{who}{kind}@{k}") for k in ks} for arm, p in predictors.items()}
        unit = measure(f"{who}{kind}@{ks[0]}").unit
        widths = [width(f) for line in series.values() for f in line.values()]
        title = GROUPS.get(who, who.replace("_", " ").strip())
        group = who if kind == "recall" else f"{who}{kind}"
        panels.append(RecallPanel(group, KINDS[kind], title, ks, series, unit, decimals_for(widths, unit)))
    return panels


def recall_scale(panels: list[RecallPanel]) -> Scale:
    """One axis, from zero, for the panels that are drawn."""
    drawn = [p for p in panels if p.group in PANELS]
    return Scale.over(
        [f.high for p in drawn for line in p.series.values() for f in line.values() if f is not None], zero=True
    )


def _places(step: float) -> int:
    """Decimals needed to write multiples of `step` (a round number) exactly."""
    return next((d for d in range(9) if abs(step * 10**d - max(1, round(step * 10**d))) < 1e-6), 9)
