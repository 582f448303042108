"""Every measure a report may show: its name in words, its unit, and which way is better.

It knows nothing of values or intervals. A measure that is not here cannot be reported: a verdict on a
measure whose better direction is unknown would be a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from ml.errors import BadInput

Unit = Literal["share", "plain"]
RANKED_AT = re.compile(r"^(?P<who>[a-z_]+_)?(?P<kind>recall|ndcg|mrr)@(?P<k>\d+)$")

GROUPS: dict[str, str] = {
    "": "all targets",
    "new_": "advertisers new to the user",
    "short_": "users with a short history",
    "rare_": "rare advertisers",
    "catalogue_": "targets within the catalogue",
    "interest_": "interests (categories of conversions)",
}
"""What the prefix of a recall@k, ndcg@k or mrr@k restricts it to."""

ARMS: dict[str, str] = {
    "llm": "LLM",
    "popularity": "popularity",
    "repeat_last": "repeat last",
    "cooccurrence": "co-occurrence",
    "ials": "iALS",
    "itemknn": "item neighbours",
    "text_linear": "text, linear",
    "sequence": "sequence",
    "placebo": "placebo",
    "none": "no priors",
    "conventional": "conventional only",
}
"""Sources and arms in words; any other name is shown with its underscores as spaces."""


@dataclass(frozen=True)
class Measure:
    """How one measure is written and read."""

    label: str
    meaning: str
    unit: Unit = "plain"
    """"share": a number in 0..1 shown as per cent, its differences as percentage points."""
    higher_is_better: bool | None = True
    """None: neither; its meaning says which value is right."""


MEASURES: dict[str, Measure] = {
    "ad_recall": Measure("ad recall", "share of converted ads among the candidates", "share"),
    "advertiser_recall": Measure(
        "advertiser recall", "share of users whose next advertiser is among the candidates", "share"
    ),
    "new_advertiser_recall": Measure(
        "new-advertiser recall", "the same, where that advertiser is new to the user", "share"
    ),
    "auc": Measure("AUC", "chance that a converted impression is ranked above another one; 0.5 is a coin"),
    "pr_auc": Measure("PR-AUC", "area under precision and recall; a coin gets the conversion rate"),
    "log_loss": Measure("log loss", "nats of surprise per impression", higher_is_better=False),
    "normalized_entropy": Measure(
        "normalized entropy",
        "log loss over that of always saying the average rate; 1 is no skill",
        higher_is_better=False,
    ),
    "top1_ece": Measure(
        "ECE of the first",
        "debiased gap between the first prediction's probability and how often it comes true; 0 is right",
        higher_is_better=False,
    ),
    "top10_ece": Measure(
        "ECE of the first 10",
        "the same of the first ten predictions together",
        higher_is_better=False,
    ),
    "top1_slope": Measure(
        "slope", "1 is right, below 1 the first prediction is too sure of itself", higher_is_better=None
    ),
    "top1_intercept": Measure("intercept", "0 is right, given the slope", higher_is_better=None),
    "target_log_loss": Measure("log loss", "nats of surprise per target in the catalogue", higher_is_better=False),
    "exclusive_hits@20": Measure(
        "exclusive hits", "share of its hits in the top 20 that no other source has in its own", "share"
    ),
    "loss": Measure("loss", "nats of surprise per training target", higher_is_better=False),
    "interest_loss": Measure("interest loss", "nats of surprise per category of a conversion", higher_is_better=False),
    "ece": Measure("ECE", "mean gap between predicted and observed rate, over bins", higher_is_better=False),
}
OF_RANKER = ("auc", "pr_auc", "log_loss", "normalized_entropy", "ece")
CLICK = "click_"
"""Before a measure of the ranker: that of pCTR, where the plain one is of P(conversion)."""
MEASURES |= {
    f"{CLICK}{name}": replace(MEASURES[name], label=f"click {MEASURES[name].label}", meaning=f"{meaning}, of pCTR")
    for name in OF_RANKER
    for meaning in (MEASURES[name].meaning.replace("converted", "clicked").replace("conversion rate", "click rate"),)
}


def measure(name: str) -> Measure:
    """The measure called `name` (recall@k, ndcg@k and mrr@k of any k and group are all known).

    Raises:
        BadInput: nobody has said what that measure means.
    """
    if found := RANKED_AT.match(name):
        return _ranked(found["who"] or "", found["kind"], found["k"])
    if name in MEASURES:
        return MEASURES[name]
    known = ", ".join(["recall@<k>, ndcg@<k>, mrr@<k>, <group>_ before each", *MEASURES])
    raise BadInput(
        f"unknown measure {name!r} (known: {known})",
        where="results given to the report",
        remedy="rename it, or say in ml/report/measures.py what it means and which way is better",
    )


def _ranked(group: str, kind: str, k: str) -> Measure:
    who = GROUPS.get(group, group.replace("_", " ").strip())
    label = f"{group.replace('_', ' ')}{kind if kind == 'recall' else kind.upper()}@{k}"
    if kind == "recall":
        return Measure(label, f"share of {who} found in the top {k} predictions", "share")
    gain = {"ndcg": "1 / log2(1 + rank)", "mrr": "1 / rank"}[kind]
    return Measure(label, f"mean of {gain} over {who}, 0 below the top {k}")


def arm_label(name: str) -> str:
    """A source or arm in words."""
    return " + ".join(ARMS.get(part, part.replace("_", " ")) for part in name.split("+"))
