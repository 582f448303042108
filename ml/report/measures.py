"""Every measure a report may show: its name in words, its unit, and which way is better.

It knows nothing of values or intervals. A measure that is not here cannot be reported: a verdict on a
measure whose better direction is unknown would be a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ml.errors import BadInput

Unit = Literal["share", "plain"]
RECALL_AT = re.compile(r"^(?P<who>[a-z_]+_)?recall@(?P<k>\d+)$")

RANKED_AT = re.compile(r"^(?P<who>[a-z_]+_)?(?P<kind>recall|ndcg|mrr)@(?P<k>\d+)$")

GROUPS: dict[str, str] = {
    "": "all targets",
    "new_": "advertisers new to the user",
    "short_": "users with a short history",
    "rare_": "rare advertisers",
    "catalogue_": "targets within the catalogue",
    "interest_": "interests (categories of conversions)",
}
"""What the prefix of a recall@k restricts it to."""

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
    higher_is_better: bool = True


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
    "slope": Measure("calibration slope", "1 is right, below 1 the forecasts are too sure of themselves"),
    "loss": Measure("loss", "nats of surprise per training target", higher_is_better=False),
    "interest_loss": Measure("interest loss", "nats of surprise per category of a conversion", higher_is_better=False),
    "ece": Measure("ECE", "mean gap between predicted and observed rate, over bins", higher_is_better=False),
}


def measure(name: str) -> Measure:
    """The measure called `name` (recall@k, ndcg@k and mrr@k of any k and group are all known).

    Raises:
        BadInput: nobody has said what that measure means.
    """
    if found := RECALL_AT.match(name):
        group = found["who"] or ""
        who = GROUPS.get(group, group.replace("_", " ").strip())
        label = name.replace("_", " ") if group else name
        return Measure(label, f"share of {who} found in the top {found['k']} predictions", "share")
    if found := RANKED_AT.match(name):
        group, kind = found["who"] or "", found["kind"]
        who = GROUPS.get(group, group.replace("_", " ").strip())
        gain = "1 / log2(1 + rank)" if kind == "ndcg" else "1 / rank"
        label = f"{group.replace('_', ' ')}{'NDCG' if kind == 'ndcg' else 'MRR'}@{found['k']}"
        return Measure(label, f"mean of {gain} of {who}, 0 below the top {found['k']}")
    if name in MEASURES:
        return MEASURES[name]
    known = ", ".join(["recall@<k>", "<group>_recall@<k>", *MEASURES])
    raise BadInput(
        f"unknown measure {name!r} (known: {known})",
        where="results given to the report",
        remedy="rename it, or say in ml/report/measures.py what it means and which way is better",
    )


def arm_label(name: str) -> str:
    """A source or arm in words."""
    return " + ".join(ARMS.get(part, part.replace("_", " ")) for part in name.split("+"))
