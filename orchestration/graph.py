"""The whole asset graph at a glance: who feeds whom, which settings matter to whom.

    raw logs -> user_contexts ------> advertiser_predictions -> control_predictions
        |  \\-> training_examples -> advertiser_llm ^       |            |
        |                               |                  v            |
        |                        past_predictions    candidate_sets     |
        |                               v                  ^   |        v
        |\\----------------------------> ranker  retrieval_model  \\-> evaluation -> report
        \\-------------------------------^----------^
    raw logs, training_examples -> tuned_sources -> control_predictions
    tuned_sources, past_predictions -> past_control_predictions -> ranker
    retrieval_model, past_predictions -> candidate_quota -> candidate_sets
    raw logs, training_examples -> drift_reference -> drift_report

A *daily* asset has one result per snapshot day. A *model* asset has versions: day x uses the newest
version of its recipe whose data ends by x, and trains one only if there is none, or if it is asked to retrain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

RAW_TABLES = ("advertisers", "ads", "users", "activity", "impressions", "clicks", "conversions")
_STREAM = ("users", "activity", "conversions", "ads", "advertisers")
_REFERENCE = ("drift.window_days", "drift.reference_days", "drift.numeric_bins", "drift.top_values")


@dataclass(frozen=True)
class Node:
    """One asset: its place in the graph, and what makes its result out of date."""

    name: str
    kind: Literal["daily", "model"]
    group: str
    upstream: tuple[str, ...]
    settings: tuple[str, ...]
    """Sections (or `section.field`s) of the settings that change its result."""
    code_version: str = "1"
    reads_outcomes: bool = False
    """Does it read what happened after the day, up to `Timeline.test_closes`?"""


NODES: dict[str, Node] = {
    node.name: node
    for node in (
        Node("user_contexts", "daily", "contexts", _STREAM, ("contexts", "llm.base_model", "llm.max_prompt_tokens")),
        Node(
            "training_examples",
            "model",
            "contexts",
            _STREAM,
            ("contexts", "catalogue", "timeline"),
            code_version="2",  # targets have an interest
        ),
        Node("drift_reference", "model", "monitoring", ("training_examples", *RAW_TABLES), _REFERENCE),
        Node("drift_report", "daily", "monitoring", ("drift_reference", *RAW_TABLES), ("drift",)),
        Node(
            "tuned_sources",
            "model",
            "predictor",
            ("training_examples", "users", "conversions"),
            ("baselines", "tuning", "timeline", "seed"),
        ),
        Node("advertiser_llm", "model", "predictor", ("training_examples",), ("llm", "seed"), code_version="2"),
        Node(
            "past_predictions",
            "model",
            "predictor",
            ("advertiser_llm", *RAW_TABLES),
            ("predictions", "timeline", "seed"),
            code_version="3",  # with interests, corrected for prior shift
        ),
        Node(
            "past_control_predictions",
            "model",
            "predictor",
            ("training_examples", "tuned_sources", "past_predictions", *RAW_TABLES),
            ("blends", "predictions", "seed"),
        ),
        Node(
            "advertiser_predictions",
            "daily",
            "predictor",
            ("advertiser_llm", "past_predictions", "user_contexts"),
            ("predictions", "seed"),
            code_version="2",
        ),
        Node(
            "control_predictions",
            "daily",
            "predictor",
            (
                *("training_examples", "tuned_sources", "users", "conversions"),
                *("past_predictions", "user_contexts", "advertiser_predictions"),
            ),
            ("blends", "seed"),
        ),
        Node(
            "retrieval_model",
            "model",
            "candidates",
            ("training_examples", *RAW_TABLES),
            ("candidates.tower", "seed"),
            code_version="2",  # two towers
        ),
        Node(
            "candidate_quota",
            "model",
            "candidates",
            ("retrieval_model", "training_examples", "past_predictions", *RAW_TABLES),
            ("candidates", "evaluation.resamples", "seed"),
        ),
        Node(
            "candidate_sets",
            "daily",
            "candidates",
            ("retrieval_model", "candidate_quota", "user_contexts", "advertiser_predictions", *RAW_TABLES),
            ("candidates",),
            code_version="2",
        ),
        Node(
            "ranker",
            "model",
            "ranking",
            ("past_predictions", "past_control_predictions", *RAW_TABLES),
            ("ranker", "seed"),
            code_version="3",  # a model of several targets, for every source
        ),
        Node(
            "evaluation",
            "daily",
            "evaluation",
            (
                "control_predictions",
                "advertiser_predictions",
                "candidate_sets",
                "candidate_quota",
                "retrieval_model",
                "user_contexts",
                "ranker",
                *RAW_TABLES,
            ),
            ("evaluation", "timeline", "seed"),
            reads_outcomes=True,
            code_version="5",  # candidates of a day by its own index
        ),
        Node("report", "daily", "evaluation", ("evaluation",), ()),
    )
}
"""Every asset behind the raw tables, in an order in which they can be made."""
AFTER_CLOSE = ("control_predictions", "evaluation", "report")
"""Stages that compare with labels; they wait until the label window has closed."""


def asset_arguments(name: str) -> dict[str, Any]:
    """Keyword arguments of `dg.asset` that the graph decides: deps, partitions, group, code version, owners."""
    from orchestration.partitions import daily

    node = NODES[name]
    return {
        "deps": list(node.upstream),
        "partitions_def": daily if node.kind == "daily" else None,
        "group_name": node.group,
        "code_version": node.code_version,
        "owners": ["team:ads-ml"],
    }
