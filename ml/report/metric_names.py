"""One vocabulary of metric names, for MLflow and for Dagster's metadata (docs/guides/compare-runs.md).

    <split>/<who>/<measure>              test/llm/recall_at_10      validation/popularity/log_loss
    <split>/<who>_minus_<whom>/<measure> test/llm_minus_none/auc    (paired over the same users)
    <split>_interval/<same>_low, _high   its 95 % interval, in a group of its own so that it crowds no chart
    cost/<who>/<what>                    cost/llm/fit_cpu_seconds   (CPU seconds)
    volume/<what>                        volume/train_users         (how much of something; no quality)

`split` is the data it was measured on, `who` a source of predictions or an arm, `measure` one of
`ml.report.measures` ("@" becomes "_at_"). It measures nothing, and knows no tracker.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ml.report.measures import CLICK, OF_RANKER, measure

SPLITS = ("train", "validation", "calibration", "test")
COMPARED = {
    "predictors": (
        *("recall@1", "recall@10", "recall@20", "ndcg@10"),
        *("new_recall@10", "new_recall@20", "short_recall@20", "rare_recall@20"),
    ),
    "predictor_exclusive": ("exclusive_hits@20",),
    "predictor_calibration": ("top1_ece", "top1_slope", "target_log_loss"),
    "retrieval": ("ad_recall", "advertiser_recall", "new_advertiser_recall"),
    "ranker": OF_RANKER,
    "ranker_click": OF_RANKER,
}
"""Measures of the sections of report.json that are worth a line of their own."""
PART_OF = {"predictor_exclusive": "predictors", "predictor_calibration": "predictors", "ranker_click": "ranker"}
"""Part of the sections that are not called like theirs."""
PREFIX = {"ranker_click": CLICK}
"""Before the measures of a section whose names another section has too."""
DIFFERENCES = {
    "predictors": ("predictor_differences", ("recall@10", "recall@20", "new_recall@10")),
    "retrieval": ("retrieval_differences", ("advertiser_recall",)),
    "ranker": ("ranker_differences", ("auc", "log_loss")),
    "ranker_click": ("ranker_click_differences", ("auc", "log_loss")),
}
"""By section: its key of paired differences, and the measures likewise."""
COSTS = ("fit_cpu_seconds", "cpu_seconds_per_1000_users")
ENDS = ("value", "low", "high")

Figures = dict[str, Any]
"""Metric name -> a number, or {"value", "low", "high"}."""


def metric_name(split: str, who: str, what: str) -> str:
    """The name of a measure of one source or arm on one split.

    Raises:
        BadInput: nobody has said what that measure means.
        ValueError: no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}")
    measure(what)
    return f"{split}/{steady(who)}/{what.replace('@', '_at_')}"


def steady(who: str) -> str:
    """A source's name that is the same in every run: which sources are blended is chosen anew by each training."""
    if "+" not in who:
        return who
    return "llm_blend" if who.startswith("llm+") else "best_other_blend"


def volumes(values: Mapping[str, float]) -> Figures:
    """Sizes under their names."""
    return {f"volume/{name}": float(value) for name, value in values.items()}


def llm_metrics(metrics: Mapping[str, float], sizes: Mapping[str, float], temperature: float) -> Figures:
    """What a training of the advertiser LLM says of its held-out users, beside popularity's."""
    found = {
        metric_name("validation", "llm" if who == "validation" else who, what): metrics[f"{who}_{what}"]
        for who in ("validation", "popularity")
        for what in ("log_loss", "recall@1", "recall@10")
    }
    found |= {
        metric_name("validation", "llm" if who == "validation" else who, "interest_recall@5"): metrics[key]
        for who in ("validation", "popularity")
        if (key := f"{who}_interest_recall@5") in metrics
    }
    return {**found, **volumes(sizes), "validation/llm/temperature": temperature}


def retrieval_metrics(quality: Mapping[str, float], sizes: Mapping[str, float]) -> Figures:
    """What a training of the retrieval model says of its held-out users, beside popularity's, and its sizes."""
    found = {
        metric_name("validation", who, "log_loss"): quality[key]
        for who in ("two_tower", "popularity")
        if (key := f"{who}_log_loss") in quality
    }
    return {**found, **volumes(sizes)}


def ranker_metrics(
    quality: Mapping[str, Mapping[str, float]], sizes: Mapping[str, float], trees: Mapping[str, int]
) -> Figures:
    """How the arms' rankers order the calibration rows, what they learned from, and their trees."""
    found = {metric_name("calibration", arm, what): value for arm, by in quality.items() for what, value in by.items()}
    return {**found, **volumes({**sizes, **{f"trees_{steady(arm)}": n for arm, n in trees.items()}})}


def curve_metrics(entry: Mapping[str, float]) -> Figures:
    """One point of the LLM's loss curve."""
    names = {
        "loss": metric_name("train", "llm", "loss"),
        "validation_loss": metric_name("validation", "llm", "loss"),
        "interest_loss": metric_name("train", "llm", "interest_loss"),
        "grad_norm": "train/llm/gradient_norm",
    }
    return {name: float(entry[key]) for key, name in names.items() if entry.get(key) is not None}


def evaluation_metrics(results: Mapping[str, Any], *, part: str | None = None, arm: str | None = None) -> Figures:
    """The metrics of an evaluation worth a line, each with its interval; null ones are left out.

    Args:
        part, arm: only those of one part (predictors, retrieval, ranker), of one arm and of its differences.
    """
    figures = {
        metric_name("test", who, PREFIX.get(section, "") + what): by_measure[what]
        for section, chosen in COMPARED.items()
        for who, by_measure in results[section].items()
        for what in chosen
        if by_measure.get(what) and part in (None, PART_OF.get(section, section)) and arm in (None, who)
    }
    figures |= {
        metric_name(
            "test", f"{steady(row['arm'])}_minus_{steady(row['against'])}", PREFIX.get(section, "") + row["metric"]
        ): row
        for section, (differences, chosen) in DIFFERENCES.items()
        for row in results[differences]
        if row["metric"] in chosen and part in (None, PART_OF.get(section, section)) and arm in (None, row["arm"])
    }
    known = {name: {end: figure[end] for end in ENDS} for name, figure in figures.items()}
    return {name: figure for name, figure in known.items() if None not in figure.values()}


def cost_metrics(results: Mapping[str, Any]) -> Figures:
    """CPU seconds of every source; null ones are left out."""
    return {
        f"cost/{steady(who)}/{what}": cost[what]
        for who, cost in results["predictor_costs"].items()
        for what in COSTS
        if cost[what] is not None
    }


def evaluation_table(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same as rows: metric, value, low, high."""
    return [{"metric": name, **figure} for name, figure in evaluation_metrics(results).items()]


def flat(figures: Mapping[str, Any]) -> dict[str, float]:
    """Plain numbers: an interval becomes its value and, in a group of its own, its two ends; nan goes."""
    found: dict[str, float] = {}
    for name, figure in figures.items():
        if isinstance(figure, Mapping):
            group, _, rest = name.partition("/")
            found |= {name: figure["value"]}
            found |= {f"{group}_interval/{rest}_{end}": figure[end] for end in ("low", "high")}
        elif figure is not None:
            found[name] = float(figure)
    return {name: value for name, value in found.items() if not math.isnan(value)}
