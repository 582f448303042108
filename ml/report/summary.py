"""The few lines that the terminal prints at the end of a run; the report shows the same words."""

from __future__ import annotations

from typing import Any

from ml.report.formats import decimals_for, interval_text, width
from ml.report.measures import arm_label, measure
from ml.report.quality import best_first, cost_text_of
from ml.report.schema import Interval, Results, parse
from ml.report.verdict import judge

BADGES = {"win": "WIN", "tie": "TIE", "loss": "LOSS", "unknown": "N/A"}
COST = "CPU s per 1,000 users, fit + predict"
CONTROL_BADGES = {"win": "LOOK", "tie": "HOLDS", "loss": "HURTS", "unknown": "N/A"}
"""A control is meant to show nothing."""


def summary_rows(results: Results | dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the short table: predictors (best first), retrieval, ranker, an arm a row.

    Returns:
        Dicts `{"part": "predictors", "arm": "LLM", "measures": {"recall@10": "31.2 % [28.7, 33.8]", ...}}`;
        rows of one part have the same measures, in the same order.
    """
    typed = parse(results)
    parts: dict[str, dict[str, dict[str, Interval | None]]] = {
        "predictors": {name: _pick(typed.predictors[name], "recall@10", "new_recall@10") for name in best_first(typed)},
        "retrieval": {
            name: _pick(dict(arm), "advertiser_recall", "new_advertiser_recall")
            for name, arm in typed.retrieval.items()
        },
        "ranker": {name: _pick(dict(arm), "auc", "normalized_entropy") for name, arm in typed.ranker.items()},
    }
    rows = [row for part, arms in parts.items() for row in _rows(part, arms)]
    for row, name in zip(rows, best_first(typed), strict=False):
        cost = cost_text_of(typed, name)
        row["measures"][COST] = f"{cost.fit_each} + {cost.predict_each}" if cost else ""
    return rows


def verdicts(results: Results | dict[str, Any]) -> list[str]:
    """One line a question, such as "WIN    Do its priors improve the ranker? Better: AUC 0.71 against ...".

    Raises:
        BadInput: `results` do not have the shape of ml.report.schema.
    """
    return [
        f"{(CONTROL_BADGES if v.is_control else BADGES)[v.outcome]:<5}  {v.question} {v.sentence}"
        for v in judge(parse(results))
    ]


def _pick(figures: dict[str, Interval | None], *names: str) -> dict[str, Interval | None]:
    return {name: figures[name] for name in names}


def _rows(part: str, arms: dict[str, dict[str, Interval | None]]) -> list[dict[str, Any]]:
    names = list(next(iter(arms.values()), {}))
    decimals = {n: decimals_for([width(figures[n]) for figures in arms.values()], measure(n).unit) for n in names}
    return [
        {
            "part": part,
            "arm": arm_label(arm),
            "measures": {measure(n).label: interval_text(f, measure(n).unit, decimals[n]) for n, f in figures.items()},
        }
        for arm, figures in arms.items()
    ]
