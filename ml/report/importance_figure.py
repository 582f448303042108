"""The same rows as the page's drawing of what the ranker leans on, as a picture for trackers that show pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml.report.importance import Panel, importance_panels
from ml.report.measures import arm_label
from ml.report.schema import Feature, FeatureGroup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"none": "#4c535b", "llm": "#0072b2"}


def importance_figure(features: dict[str, list[dict[str, Any]]], groups: dict[str, list[dict[str, Any]]]) -> Figure:
    """Share of gain beside the drop of AUC when shuffled, with and without priors.

    Args:
        features, groups: ranker_importance and ranker_importance_groups of report.json.
    """
    from matplotlib.figure import Figure

    panels = importance_panels(
        {arm: [Feature.model_validate(row) for row in rows] for arm, rows in features.items()},
        {arm: [FeatureGroup.model_validate(row) for row in rows] for arm, rows in groups.items()},
    )
    heights = [len(panel.rows) for panel in panels]
    figure = Figure(figsize=(11, 2.2 + 0.42 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 2, squeeze=False, sharey="row", height_ratios=heights)
    for (gain, drop), panel in zip(axes, panels, strict=True):
        _draw(gain, drop, panel)
    axes[0][0].legend(loc="lower right", frameon=False)
    return figure


def _draw(gain: Any, drop: Any, panel: Panel) -> None:
    arms = list(panel.rows[0].gains)
    for number, arm in enumerate(arms):
        lane = 0.36 * (number - (len(arms) - 1) / 2)
        for place, row in enumerate(panel.rows):
            style = {"color": COLOURS.get(arm, "#7a8088"), "label": arm_label(arm) if not place else None}
            if (share := row.gains[arm]) is not None:
                gain.barh(place + lane, 100 * share, height=0.32, **style)
            if (cost := row.drops[arm]) is not None:
                ends = [[max(0, cost.value - cost.low)], [max(0, cost.high - cost.value)]]
                drop.errorbar(cost.value, place + lane, xerr=ends, fmt="o", markersize=4, **style)
    gain.set_yticks(range(len(panel.rows)), [row.name for row in panel.rows])
    gain.invert_yaxis()
    gain.set_title(panel.title.capitalize(), loc="left", fontsize=10)
    gain.set_xlabel("share of gain, %")
    drop.set_xlabel("drop of AUC when shuffled, 95 % interval")
    drop.axvline(0, color="#5b636d", linewidth=0.8)
    for axes in (gain, drop):
        axes.spines[["top", "right"]].set_visible(False)
