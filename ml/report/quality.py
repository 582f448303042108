"""What the page says of the sources: quality beside cost, groups of targets, exclusive hits, honest probabilities.

Sources come best first (recall@10), whatever they are called. It draws nothing: section_predictors.html does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ml.report import charts, drawings
from ml.report.formats import NOTHING, number
from ml.report.schema import Results
from ml.report.verdict import best_other

MAIN = ("recall@10", "recall@20", "new_recall@10", "new_recall@20", "ndcg@10")
"""Columns of the main table."""
IN_GROUPS = "recall@20"
"""What is shown for every group of targets; the other measures are in the folded tables."""
GROUPS = {"all": "", "new": "new_", "short": "short_", "rare": "rare_", "catalogue": "catalogue_"}
"""Groups by their key in `predictor_groups`, with the prefix of their measures."""

TITLES = {
    "all": "all",
    "new": "new to the user",
    "short": "short history",
    "rare": "rare advertiser",
    "catalogue": "in the catalogue",
}


def quality_context(results: Results) -> dict[str, Any]:
    """Names that the section of the predictors uses."""
    order = best_first(results)
    predictors = {name: results.predictors[name] for name in order}
    groups = {f"{GROUPS[g]}{IN_GROUPS}": n for g, n in results.predictor_groups.items() if g in GROUPS}
    calibration = {name: dict(results.predictor_calibration[name]) for name in _known(order, results, "calibration")}
    exclusive = {name: results.predictor_exclusive[name] for name in _known(order, results, "exclusive")}
    drawn = [name for name in dict.fromkeys(("llm", best_other(results, "recall@10"), "popularity")) if name]
    reliability = {name: results.predictor_reliability[name] for name in _known(drawn, results, "reliability")}
    return {
        "plotted": plotted(results),
        "costs": {name: cost for name in order if (cost := cost_text_of(results, name))},
        "quality_values": charts.values({name: {m: p.get(m) for m in MAIN} for name, p in predictors.items()}),
        "group_values": charts.values({name: {m: p.get(m) for m in groups} for name, p in predictors.items()}),
        "group_sizes": groups,
        "group_titles": [TITLES[g] for g in results.predictor_groups if g in GROUPS],
        "calibration_values": charts.values(calibration),
        "exclusive_values": charts.values(exclusive),
        "first_reliability": drawings.reliability(reliability),
    }


def best_first(results: Results) -> list[str]:
    """Sources by falling recall@10; those without it last."""
    known = {name: figure.value for name, p in results.predictors.items() if (figure := p["recall@10"]) is not None}
    return sorted(results.predictors, key=lambda name: -known.get(name, -1.0))


def plotted(results: Results) -> list[str]:
    """Sources that are drawn, the best first: more than half a dozen would hide one another; the tables have all."""
    blends = {name for name in results.predictors if "+" in name}
    wanted = {"llm", best_other(results, "recall@10"), "popularity", "placebo"} | blends
    return [name for name in best_first(results) if name in wanted]


@dataclass(frozen=True)
class CostText:
    """CPU seconds as the page shows them; a blend takes what both of its sources do."""

    fit: str
    users: str
    """Fitted on."""
    fit_each: str
    """Per 1,000 of these."""
    predict_each: str


def cost_text_of(results: Results, source: str) -> CostText | None:
    """None where nobody has measured it."""
    found = [results.predictor_costs.get(name) for name in source.split("+")]
    costs = [cost for cost in found if cost is not None]
    if len(costs) < len(found):
        return None
    fits = [cost.fit_cpu_seconds for cost in costs]
    return CostText(
        cpu_text(_sum(fits)),
        " + ".join(number(cost.train_users) for cost in costs),
        cpu_text(_sum([_per_thousand(cost.fit_cpu_seconds, cost.train_users) for cost in costs])),
        cpu_text(_sum([cost.cpu_seconds_per_1000_users for cost in costs])),
    )


def _per_thousand(seconds: float | None, users: int) -> float | None:
    return 1000 * seconds / users if seconds is not None and users else None


def _sum(values: list[float | None]) -> float | None:
    """None as soon as one is."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def cpu_text(seconds: float | None) -> str:
    """CPU seconds with as many digits as they have meaning: 0.031, 1.25, 12.5, 402."""
    if seconds is None:
        return NOTHING
    return number(seconds, 3 if seconds < 0.1 else 2 if seconds < 10 else 1 if seconds < 100 else 0)


def _known(names: list[str], results: Results, what: str) -> list[str]:
    """Those of which there is something to show."""
    return [name for name in names if name in getattr(results, f"predictor_{what}")]
