"""What the intervals say, in plain words: win, tie or loss for every question a reader brings.

A win is an interval that lies wholly on the better side of zero, a loss one wholly on the worse side; all
else is a tie, which says that no difference was shown, not that there is none. So each sentence also
says how small an effect the sample could have shown. It computes no interval itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ml.report.formats import decimals_for, difference_text, effect_text, number, p_text, value_text, width
from ml.report.measures import arm_label, measure
from ml.report.schema import Difference, Interval, Results

Outcome = Literal["win", "tie", "loss", "unknown"]

CONTROLS = ("llm", "placebo")
"""Not candidates for the best source that is no LLM."""
LEVEL = 0.05
"""Of the corrected p-values."""
SUSPICIOUS_AUC_GAIN = 0.03
"""In the late ranker of a real system such a signal is worth 0.0005 to 0.004; this much has mostly been leakage."""


@dataclass(frozen=True)
class Verdict:
    """The answer to one question."""

    topic: str
    """predictor, new_advertisers, retrieval, retrieval_source, ranker or placebo."""
    question: str
    outcome: Outcome
    sentence: str
    difference: Difference | None

    @property
    def is_control(self) -> bool:
        """A control is meant to show nothing; its win is an alarm."""
        return self.topic == "placebo"


def outcome_of(difference: Difference | None) -> Outcome:
    """Win, tie or loss of `difference.arm`, by its interval alone."""
    if difference is None or difference.low is None or difference.high is None:
        return "unknown"
    better = measure(difference.metric).higher_is_better
    if better is None:
        return "unknown"
    if difference.low > 0:
        return "win" if better else "loss"
    if difference.high < 0:
        return "loss" if better else "win"
    return "tie"


def find(differences: list[Difference], metric: str, arm: str, against: str) -> Difference | None:
    """The paired difference of `arm` and `against`, if it was measured."""
    for difference in differences:
        if (difference.metric, difference.arm, difference.against) == (metric, arm, against):
            return difference
    return None


def best_other(results: Results, metric: str) -> str | None:
    """The source, neither llm nor placebo, with the highest `metric`."""
    singles = {name: p for name, p in results.predictors.items() if name not in CONTROLS and "+" not in name}
    figures = {name: p.get(metric) for name, p in singles.items()}
    values = {name: figure.value for name, figure in figures.items() if figure is not None}
    return max(values, key=lambda name: values[name]) if values else None


def judge(results: Results) -> list[Verdict]:
    """The verdicts of a run, most important first."""
    found = [
        *_predictor_verdicts(results),
        _new_advertisers_verdict(results),
        _blend_verdict(results),
        *_retrieval_verdicts(results),
        _ranker_verdict(results),
        _placebo_verdict(results),
    ]
    return [verdict for verdict in found if verdict is not None]


def headline(results: Results) -> str:
    """One sentence: what the LLM did for forecasts, retrieval and ranker."""
    other = arm_label(best_other(results, "recall@10") or "the other sources")
    phrases = {
        "predictor": {
            "win": f"forecasts advertisers better than {other}",
            "tie": f"forecasts advertisers no measurably better or worse than {other}",
            "loss": f"forecasts advertisers less well than {other}",
        },
        "retrieval": {
            "win": "widens retrieval",
            "tie": "does not measurably change retrieval",
            "loss": "costs retrieval recall",
        },
        "ranker": {
            "win": "improves the ranker",
            "tie": "does not measurably move the ranker",
            "loss": "harms the ranker",
        },
    }
    outcomes = {verdict.topic: verdict.outcome for verdict in reversed(judge(results))}
    if outcomes.get("placebo") == "win":
        phrases["ranker"]["win"] += " (but so do shuffled priors)"
    said = [words[outcomes[topic]] for topic, words in phrases.items() if outcomes.get(topic, "unknown") != "unknown"]
    if not said:
        return "Nothing about the LLM was measured in this run."
    listed = said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]
    return f"The LLM {listed}."


def _predictor_verdicts(results: Results) -> list[Verdict]:
    metric, best = "recall@10", best_other(results, "recall@10")
    rivals = [best] if best in (None, "popularity") else [best, "popularity"]
    return [
        _predictor_verdict(results, "predictor", metric, rival, "Does the LLM forecast the next advertiser better than")
        for rival in rivals
        if rival in results.predictors
    ]


def _new_advertisers_verdict(results: Results) -> Verdict | None:
    best = best_other(results, "new_recall@10")
    if best is None:
        return None
    question = "And for advertisers new to the user, better than"
    return _predictor_verdict(results, "new_advertisers", "new_recall@10", best, question)


def _blend_verdict(results: Results) -> Verdict | None:
    """The LLM blended with the source it helps most, against the best blend without it."""
    metric = "recall@20"
    blends = [name for name in results.predictors if "+" in name]
    mine, others = ([b for b in blends if b.startswith("llm+") is is_mine] for is_mine in (True, False))
    if not mine or not others:
        return None
    difference = find(results.predictor_differences, metric, mine[0], others[0])
    arms = {name: predictor.get(metric) for name, predictor in results.predictors.items()}
    sentence = _sentence(difference, arms, _users(results, new_only=False))
    question = f"Is {arm_label(mine[0])} better than {arm_label(others[0])}, the best blend without the LLM?"
    return Verdict("blend", question, outcome_of(difference), sentence, difference)


def _predictor_verdict(results: Results, topic: str, metric: str, rival: str, question: str) -> Verdict:
    best = ", the best source that is no LLM" if rival == best_other(results, metric) else ""
    difference = find(results.predictor_differences, metric, "llm", rival)
    arms = {name: predictor.get(metric) for name, predictor in results.predictors.items()}
    sentence = _sentence(difference, arms, _users(results, new_only=topic == "new_advertisers"))
    return Verdict(topic, f"{question} {arm_label(rival)}{best}?", outcome_of(difference), sentence, difference)


def _retrieval_verdicts(results: Results) -> list[Verdict]:
    if not results.retrieval:
        return []
    metric = "advertiser_recall"
    arms = {name: arm.advertiser_recall for name, arm in results.retrieval.items()}
    sample = _users(results)
    budget = f"{results.retrieval_budget} candidates, {results.retrieval_quota:.0%} of them for predicted advertisers"
    widened = find(results.retrieval_differences, metric, "llm", "conventional")
    question = f"Does a quota for its advertisers widen retrieval at equal budget ({budget})?"
    found = [Verdict("retrieval", question, outcome_of(widened), _sentence(widened, arms, sample), widened)]
    rival = find(results.retrieval_differences, metric, "llm", "cooccurrence")
    if rival is not None:
        question = "Is that quota better spent on the LLM than on co-occurrence?"
        found.append(Verdict("retrieval_source", question, outcome_of(rival), _sentence(rival, arms, sample), rival))
    return found


def _ranker_verdict(results: Results) -> Verdict | None:
    if not results.ranker:
        return None
    difference = find(results.ranker_differences, "auc", "llm", "none")
    sentence = _sentence(difference, {name: arm.auc for name, arm in results.ranker.items()}, _impressions(results))
    if difference is not None and (difference.value or 0) > SUSPICIOUS_AUC_GAIN:
        sentence += " A gain this large is more often leakage than skill: look for it before believing it."
    question = "Do its priors improve the ranker?"
    return Verdict("ranker", question, outcome_of(difference), sentence, difference)


def _placebo_verdict(results: Results) -> Verdict | None:
    difference = find(results.ranker_differences, "auc", "placebo", "none")
    if difference is None:
        return None
    outcome = outcome_of(difference)
    sentence = _sentence(difference, {name: arm.auc for name, arm in results.ranker.items()}, _impressions(results))
    if outcome == "win":
        sentence += " Priors of other users should not help: whatever helps here is not the forecast."
    return Verdict("placebo", "Control: do shuffled priors do nothing, as they should?", outcome, sentence, difference)


def _users(results: Results, *, new_only: bool = False) -> str:
    users, new_share = results.counts["test_users"], results.counts["new_share"]
    if new_only and users is not None and new_share is not None:
        return f"of about {number(users * new_share)} test users"
    return f"of {number(users)} test users"


def _impressions(results: Results) -> str:
    rows = results.ranker_rows
    return f"of {number(rows.test)} test rows with {number(rows.positives_test)} positives"


def _sentence(difference: Difference | None, arms: dict[str, Interval | None], sample: str) -> str:
    if difference is None or difference.value is None:
        return "Not measured in this run."
    unit = measure(difference.metric).unit
    decimals = decimals_for([width(difference)], unit)
    start = {"win": "Better", "loss": "Worse", "tie": "No difference shown", "unknown": ""}[outcome_of(difference)]
    arm, against = arms.get(difference.arm), arms.get(difference.against)
    levels = ""
    if arm is not None and against is not None:
        levels = f" {value_text(arm.value, unit, decimals)} against {value_text(against.value, unit, decimals)},"
    name = measure(difference.metric).label
    text = f"{start}: {name}{levels} a difference of {difference_text(difference, unit, decimals)}."
    if outcome_of(difference) in ("win", "loss") and (difference.p_holm or 0.0) > LEVEL:
        text += (
            f" Corrected for all arms compared in this measure (Holm) it is not clear: p {p_text(difference.p_holm)}."
        )
    if difference.minimum_effect is None:
        return text
    least = effect_text(difference.minimum_effect, unit, decimals, signed=False)
    return f"{text} This sample {sample} could have shown an effect of {least}."
