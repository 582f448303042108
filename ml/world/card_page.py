"""The world card as Markdown: the world's figures beside those of a real purchase log and beside published ones.

It judges nothing: a figure that is far off stands there as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ml.evaluation.results import Interval
from ml.world.card import Figures


@dataclass(frozen=True)
class Published:
    """A figure from a public source, for a line of `ad_statistics`."""

    says: str
    source: int
    """Number of the source below."""


SOURCES = (
    "WordStream, *Google Ads Benchmarks for YOUR Industry*, update of 2018, averages over industries: clicks per "
    "impression 3.17 % in search and 0.46 % on display pages. "
    "<https://www.wordstream.com/blog/ws/2016/02/29/google-adwords-industry-benchmarks>",
    "Olivier Chapelle, *Modeling Delayed Feedback in Display Advertising*, KDD 2014, on Criteo's traffic: about 35 % "
    "of the conversions come within an hour of the click, about 50 % within a day. "
    "<https://doi.org/10.1145/2623330.2623634>",
    "WordStream, *Google AdWords Average Conversion Rates by Industry*, 2016, over 2,000 accounts: conversions per "
    "click 2.70 % in search and 0.89 % on display pages. "
    "<https://searchenginewatch.com/2016/03/15/google-adwords-average-conversion-rates-by-industry-study/>",
)
PUBLISHED = {
    "clicks per impression on search pages": Published("3.17 %", 1),
    "clicks per impression on the home page": Published("0.46 % (display)", 1),
    "conversions credited to a click, per click": Published("2.70 % (search), 0.89 % (display)", 3),
    "share of conversions known within an hour": Published("35 %", 2),
    "share of conversions known within a day": Published("50 %", 2),
}
_ABOUT = """\
# The simulated world: its card

Made by `adprior world-card`; do not edit. The world is made up by `ml/world`: real names of advertisers, drawn fates.
Nobody should take a gain in it for a gain on real users; this page says in what it is like them and in what it is not.
"""
_DIFFERENCES = """\
## What is not comparable

* Repeats: the purchase log is made of reviews, and people review an item once. In the world goods are used up and
  bought again, so that a larger share of the next advertisers is known already; compare recall of *new* advertisers.
* Time: the window after the snapshot is {window} days in the world, a quarter in the purchase log.
* Rates: people of the world click and convert several times as often as the published averages say, on purpose: at
  real rates some thousand users would leave too few conversions to learn from or to judge by. Gains do not carry over.
* New advertisers: cooccurrence adds less to popularity in the world than in the purchase log, as tastes for brands of
  different kinds of goods hang together less; what a source gains on new advertisers there says little about real logs.
* Delays: the published ones run from the click to the conversion, those of the world from the conversion to the moment
  it becomes known, which is what a daily pipeline has to wait for.
* The purchase log has neither impressions nor searches; the world's searches carry intent in words, composed so that
  every source reads the same (`ml/world/grammar.py`): no signal is planted that only a language model could use.
"""


def render(world: Figures, ads: Figures, real: Figures | None, about: Mapping[str, str]) -> str:
    """The page.

    Args:
        world, ads: statistics of the world (`ml.world.card`).
        real: `people_statistics` of the purchase log; None leaves its column out.
        about: settings of the world in words, `window`, and `log`: what the purchase log is.
    """
    lines = [_ABOUT, about["world"], "", "## People and advertisers", ""]
    lines += _people(world, real, about)
    lines += ["", "## Ads", "", "| | world | published | source |", "|---|---:|---:|---:|"]
    for name, value in ads.items():
        known = PUBLISHED.get(name)
        beside = f"{known.says} | [{known.source}]" if known else "|"
        lines.append(f"| {name} | {_shown(name, value)} | {beside} |")
    lines += ["", *(f"{number}. {source}" for number, source in enumerate(SOURCES, start=1)), ""]
    return "\n".join([*lines, _DIFFERENCES.format(window=about["window"])])


def _people(world: Figures, real: Figures | None, about: Mapping[str, str]) -> list[str]:
    if real is None:
        return ["| | world |", "|---|---:|", *(f"| {name} | {_shown(name, value)} |" for name, value in world.items())]
    rows = [f"| {name} | {_shown(name, value)} | {_shown(name, real[name])} |" for name, value in world.items()]
    return [f"| | world | {about['log']} |", "|---|---:|---:|", *rows]


def _shown(name: str, value: float | Interval) -> str:
    """Shares in percent, with the interval if there is one; amounts as they are."""
    if isinstance(value, Interval):
        return f"{100 * value.value:.1f} % ({100 * value.low:.1f} to {100 * value.high:.1f})"
    if name.startswith(("share", "clicks per impression", "conversions credited")) and not name.endswith("the first"):
        return f"{100 * value:.2f} %" if value < 0.1 else f"{100 * value:.0f} %"
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.2f}"
