"""Words of an explanation that the terminal and the page share."""

from __future__ import annotations

from collections.abc import Sequence

from ml.candidates.table import POPULAR, TWO_TOWER
from ml.contexts.render import VERBS
from ml.explain.explanation import Candidate, Context, Event, Outcome
from ml.report.measures import arm_label

MARKS = {"label": " ★", "later": " ☆", "": ""}
OUTCOME_NOTE = (
    "★ what the user converted with first afterwards (the label), ☆ what later: outcomes the models did not see."
)
CONVENTIONAL = (TWO_TOWER, POPULAR)


def profile_words(context: Context) -> str:
    """Age, gender and region as far as they are known."""
    return ", ".join(value for value in context.profile.values() if value) or "nothing known"


def event_words(event: Event) -> str:
    """One event in a line."""
    said = [part for part in (event.text, event.advertiser, event.category) if part]
    lag = (event.known - event.happened).total_seconds()
    late = f"  (happened {event.happened:%Y-%m-%d %H:%M})" if lag >= 3600 else ""
    return f"{VERBS[event.kind]:<7} {', '.join(said)}{late}"


def source_words(source: str) -> str:
    """Name of a source of predictions."""
    return arm_label(source)


def kind_of_conventional(candidates: Sequence[Candidate]) -> str:
    """Which conventional generator proposed: one kind a user."""
    kinds = [name for candidate in candidates for name in candidate.generators if name in CONVENTIONAL]
    return kinds[0] if kinds else "conventional"


def generators_words(candidate: Candidate) -> tuple[str, str, str]:
    """Rank and score of the conventional, the targeted and the interest generator, or "-"."""
    return (
        _proposal(candidate.conventional_rank, candidate.conventional_score),
        _proposal(candidate.targeted_rank, candidate.targeted_score),
        _proposal(candidate.interest_rank, candidate.interest_score),
    )


def outcome_lines(outcome: Outcome) -> list[str]:
    """What happened, a line a conversion; or why nothing is said."""
    if not outcome.closed:
        return [f"not known yet: the outcomes are all in by the end of {outcome.closes}"]
    if not outcome.conversions:
        return ["no conversion"]
    return [
        f"{conversion.happened:%Y-%m-%d %H:%M}  {conversion.advertiser}"
        + (f", ad {conversion.ad_id}" if conversion.ad_id else "")
        + (", new to the user" if conversion.is_new else "")
        + (MARKS["label"] if place == 0 else MARKS["later"])
        for place, conversion in enumerate(outcome.conversions)
    ]


def _proposal(rank: int | None, score: float | None) -> str:
    return "-" if rank is None else f"{rank} ({score:.3g})"
