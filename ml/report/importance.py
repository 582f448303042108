"""What the ranker leans on, with and without priors, as the page shows it: rows of two marks, and what they say.

It draws nothing: importance.html does. Positions are per cent of the plot's width, on square-root axes: one strong
feature would press all others against zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml.report.formats import decimals_for, effect_text, number, range_text, share, width
from ml.report.schema import Feature, FeatureGroup, Interval, Results
from ml.report.verdict import CONTROLS

DRAWN = ("none", "llm")
"""Arms of the drawing; the placebo is in the table and in the sentence."""
FEATURES_DRAWN = 12
PRIORS = "priors"


@dataclass(frozen=True)
class RootScale:
    """A square-root axis over zero: `low` is zero or below, `high` above."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> RootScale:
        return cls(min(0.0, *values), max(1e-6, *values))

    def at(self, value: float) -> float:
        """Position in per cent, kept within the axis."""
        low, high, here = (math.copysign(math.sqrt(abs(x)), x) for x in (self.low, self.high, value))
        return round(100 * min(1.0, max(0.0, (here - low) / (high - low))), 2)

    def ticks(self, apart: float) -> list[float]:
        """Round values, zero first, at least `apart` per cent from each other."""
        found = [0.0]
        for value in (m * 10.0**p for p in range(-6, 1) for m in (1, 2, 5)):
            if value <= self.high and self.at(value) >= self.at(found[-1]) + apart:
                found.append(value)
        return found


@dataclass(frozen=True)
class Row:
    """One feature or group: by arm its share of gain and what shuffling it costs; None where an arm lacks it."""

    name: str
    gains: dict[str, float | None]
    drops: dict[str, Interval | None]


@dataclass(frozen=True)
class Panel:
    """Rows on common axes."""

    title: str
    rows: list[Row]
    gain: RootScale
    drop: RootScale
    decimals: int


def importance_panels(features: Mapping[str, list[Feature]], groups: Mapping[str, list[FeatureGroup]]) -> list[Panel]:
    """Groups of features, then the strongest features, of the arms that are drawn.

    Args:
        features, groups: by arm.
    """
    arms = [arm for arm in DRAWN if arm in features]
    if not arms:
        return []
    by_group = {arm: {g.group: g for g in groups[arm]} for arm in arms}
    by_name = {arm: {f.feature: f for f in features[arm]} for arm in arms}
    strongest = sorted({name for mine in by_name.values() for name in mine}, key=lambda n: (-_most(by_name, n), n))
    return [
        _panel("groups of features, each shuffled as one", list(by_group[arms[-1]]), by_group),
        _panel("the strongest features, each by itself", strongest[:FEATURES_DRAWN], by_name),
    ]


def importance_sentence(results: Results) -> str:
    """What the priors' gain is worth, and what gain says of priors that know nothing."""
    said = _of_priors(results, "llm")
    if said is None:
        return ""
    held, drop = said
    text = (
        f"The priors hold {share(held)} of the gain of the LLM's ranker, and shuffling them among the rows of a day "
        f"costs {_cost(drop)}: {_meaning(drop)}."
    )
    control = _of_priors(results, CONTROLS[1])
    if control is None:
        return text
    return (
        f"{text} Gain flatters columns with many values, which fit noise: priors of other users hold "
        f"{share(control[0])} of their ranker's gain, and shuffling those costs {_cost(control[1])}."
    )


def _of_priors(results: Results, arm: str) -> tuple[float, Interval] | None:
    for group in results.ranker_importance_groups.get(arm, []):
        if group.group == PRIORS and group.auc_drop is not None:
            return group.gain_share, group.auc_drop
    return None


def _cost(drop: Interval) -> str:
    decimals = decimals_for([width(drop)], "plain")
    ends = range_text(drop.low, drop.high, "plain", decimals, signed=True)
    return f"{effect_text(drop.value, 'plain', decimals)} of AUC {ends}"


def _meaning(drop: Interval) -> str:
    if drop.low > 0:
        return "the order of the ads depends on them"
    if drop.high < 0:
        return "the test rows are ordered better without what it learned from them"
    return "no dependence of the order on them was shown"


def _panel(title: str, names: list[str], arms: Mapping[str, Mapping[str, Feature | FeatureGroup]]) -> Panel:
    rows = [
        Row(
            name,
            {arm: mine[name].gain_share if name in mine else None for arm, mine in arms.items()},
            {arm: mine[name].auc_drop if name in mine else None for arm, mine in arms.items()},
        )
        for name in names
    ]
    drops = [drop for row in rows for drop in row.drops.values() if drop is not None]
    gains = [gain for row in rows for gain in row.gains.values() if gain is not None]
    ends = [end for drop in drops for end in (drop.low, drop.high)]
    decimals = decimals_for([width(drop) for drop in drops], "plain")
    return Panel(title, rows, RootScale.over([0.0, *gains]), RootScale.over([0.0, *ends]), decimals)


def _most(arms: dict[str, dict[str, Feature]], name: str) -> float:
    return max(mine[name].gain_share for mine in arms.values() if name in mine)


def cost_text(drop: Interval | None, decimals: int) -> str:
    """A drop of AUC with its interval, or a dash where it was not measured."""
    if drop is None:
        return "–"
    ends = range_text(drop.low, drop.high, "plain", decimals, signed=True)
    return f"{number(drop.value, decimals, signed=True)} {ends}"
