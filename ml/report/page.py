"""The HTML page: what the templates beside this file (*.html, page.css) are filled with.

Everything is inlined: no script, no font, nothing from the network. Text from the run (notes, check
descriptions) is escaped.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from ml.report import charts, drawings, formats
from ml.report.importance import DRAWN, cost_text, importance_panels, importance_sentence
from ml.report.measures import arm_label
from ml.report.quality import best_first, quality_context
from ml.report.quota import quota_plot
from ml.report.schema import Results
from ml.report.templates import templates
from ml.report.verdict import headline, judge

FEW_USERS = 300
"""Below this many test users intervals are so wide that the page says so at its top."""
SECTIONS = {
    "verdicts": "Verdicts",
    "predictors": "Predictors",
    "retrieval": "Retrieval",
    "ranker": "Ranker",
    "run": "What was run",
    "checks": "Checks",
    "again": "Run it again",
}
SPAN_STYLES = {"predictors": 0, "ranker": 1, "calibration": 2, "wait": 3, "test": 4, "closes": 5}
Facts = list[tuple[str, str]]


def render(results: Results) -> str:
    """The whole page; the same results give the same text."""
    return _environment().get_template("page.html").render(**_context(results))


@cache
def _environment() -> Environment:
    functions = (
        formats.number,
        formats.share,
        formats.duration,
        formats.value_text,
        formats.range_text,
        formats.interval_text,
        formats.effect_text,
        formats.difference_text,
        formats.p_text,
        arm_label,
        cost_text,
    )
    environment = templates(Path(__file__).parent, functions=functions)
    environment.globals["style_of"] = SPAN_STYLES
    environment.filters["forest_of"] = lambda difference: charts.forest([difference])
    return environment


def _context(results: Results) -> dict[str, Any]:
    panels = charts.recall_panels({name: results.predictors[name] for name in best_first(results)})
    absent = {name for name in ("retrieval", "ranker") if not getattr(results, name)}
    return {
        "r": results,
        "headline": headline(results),
        "verdicts": judge(results),
        "warnings": _warnings(results),
        "sections": [(key, title) for key, title in SECTIONS.items() if key not in absent],
        "panels": panels,
        **quality_context(results),
        "drawn": charts.PANELS,
        "recall_scale": charts.recall_scale(panels),
        "predictor_forest": charts.forest(results.predictor_differences),
        "drawn_forests": charts.PREDICTOR_FORESTS,
        "curve": drawings.loss_curve(results.llm.loss_curve, results.counts["catalogue"] or 1),
        "retrieval_values": charts.values({name: dict(arm) for name, arm in results.retrieval.items()}),
        "retrieval_forest": charts.forest(results.retrieval_differences),
        "quota_plot": quota_plot(results.retrieval_quota_choice),
        "quota_facts": _quota_facts(results),
        "ranker_values": charts.values({name: dict(arm) for name, arm in results.ranker.items()}),
        "ranker_forest": charts.forest(results.ranker_differences),
        "click_values": charts.values({name: dict(arm) for name, arm in results.ranker_click.items()}),
        "click_forest": charts.forest(results.ranker_click_differences),
        "reliability": drawings.reliability(results.ranker_reliability),
        "importance_panels": importance_panels(results.ranker_importance, results.ranker_importance_groups),
        "importance_sentence": importance_sentence(results),
        "importance_arms": [arm for arm in DRAWN if arm in results.ranker_importance],
        "spans": drawings.timeline(results.timeline, results.as_of),
        "longest": max((stage.seconds for stage in results.stages.values()), default=0.0) or 1.0,
        "training_facts": _training_facts(results),
        "validation_facts": _validation_facts(results),
        "ranker_facts": _ranker_facts(results),
        "machine_facts": _machine_facts(results),
        "count_facts": _count_facts(results),
    }


def _warnings(results: Results) -> list[str]:
    warnings = []
    if results.profile == "tiny":
        warnings.append(
            "Profile tiny shows that every stage works, on little data and by default with a two-layer random model. "
            "Its figures say nothing about quality."
        )
    users = results.counts["test_users"] or 0
    if users < FEW_USERS:
        warnings.append(f"Only {formats.number(users)} test users: read the intervals, not the dots.")
    if not results.machine.bf16_matrix_units and results.machine.gpu is None:
        warnings.append(
            "This machine has no bf16 matrix units and no GPU: its token budgets are not those of one that has."
        )
    if any(verdict.is_control and verdict.outcome == "win" for verdict in judge(results)):
        warnings.append(
            "The control failed: shuffled priors improve the ranker too, so its gain is not the forecast's."
        )
    failed = [check for check in results.checks if not check.passed]
    if failed:
        named = ", ".join(f"{check.asset} {check.check} ({check.severity.lower()})" for check in failed)
        warnings.append(f"{len(failed)} of {len(results.checks)} checks did not pass: {named}.")
    return warnings


def _training_facts(results: Results) -> Facts:
    llm, number = results.llm, formats.number
    return [
        ("training users", number(llm.train_users)),
        ("training tokens", number(llm.train_tokens)),
        ("token budget", number(llm.token_budget)),
        ("CPU seconds", number(llm.cpu_seconds, 1)),
        ("training targets", number(llm.train_targets)),
        ("scored users", number(llm.scored_users)),
        ("scored tokens", number(llm.scored_tokens)),
        ("arithmetic", f"{llm.dtype}, {llm.threads} thread{'s' if llm.threads != 1 else ''}"),
        ("calibration temperature", number(llm.temperature, 3)),
    ]


def _validation_facts(results: Results) -> Facts:
    names = {
        "loss_start": "loss before training",
        "loss_end": "loss after training",
        "recall@10": "recall@10 of the LLM",
    }
    names["popularity_recall@10"] = "recall@10 of popularity"
    return [
        (names.get(key, key.replace("_", " ")), formats.share(v) if "recall" in key else formats.number(v, 3))
        for key, v in results.llm.validation.items()
    ]


def _ranker_facts(results: Results) -> Facts:
    rows, number, sample = results.ranker_rows, formats.number, results.ranker_importance_sample
    facts = [
        ("training", number(rows.train)),
        ("calibration", number(rows.calibration)),
        ("test", number(rows.test)),
        ("positives in test", number(rows.positives_test)),
    ]
    if sample is None:
        return facts
    shuffled = [("test rows shuffled", sample.rows), ("of users", sample.users), ("times", sample.repeats)]
    return facts + [(name, number(count)) for name, count in shuffled]


def _quota_facts(results: Results) -> Facts:
    if (choice := results.retrieval_quota_choice) is None:
        return []
    return [
        ("validation users", formats.number(choice.users)),
        ("predicted advertisers, in use", formats.share(choice.quota, 0)),
        ("chosen on validation", formats.share(choice.chosen, 0)),
        ("forecast interests, in use", formats.share(choice.interest_quota, 0)),
        ("chosen on validation", formats.share(choice.interest_chosen, 0)),
    ]


def _machine_facts(results: Results) -> Facts:
    machine = results.machine
    return [
        ("processor", machine.cpu),
        ("cores", formats.number(machine.cores)),
        ("memory", f"{formats.number(machine.memory_gb, 1)} GB"),
        ("bf16 matrix units", "yes" if machine.bf16_matrix_units else "no"),
        ("GPU", machine.gpu or "none"),
        ("whole run", f"{formats.number(results.seconds_total, 1)} s"),
        ("peak memory", f"{formats.number(results.peak_rss_mb)} MB"),
        ("seed", str(results.seed)),
    ]


def _count_facts(results: Results) -> Facts:
    def text(value: int | float | None) -> str:
        return formats.share(value) if isinstance(value, float) else formats.number(value)

    budget = [
        ("retrieval budget, ads a user", formats.number(results.retrieval_budget)),
        ("quota of predicted advertisers", formats.share(results.retrieval_quota)),
    ]
    return [(key.replace("_", " "), text(value)) for key, value in results.counts.items()] + budget


def outside_resources(html: str) -> list[str]:
    """What the page would load from elsewhere: addresses in src, href, url() and @import; empty when self-contained."""
    found: list[str] = re.findall(r"""(?:src|href)\s*=\s*["']?(?!#)([^"'\s>]+)|url\(([^)]+)\)|@import\s+(\S+)""", html)
    return ["".join(groups) for groups in found]
