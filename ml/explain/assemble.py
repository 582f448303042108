"""Assembles the explanation of one user out of what the stages published and the lake.

It does not know how directories are found, nor how an explanation is shown.

    explanation = explain("u00001", published, lake, timeline, prompt_budget=512, ...)
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd

from ml.contexts.scrub import looks_private
from ml.contexts.stream import PROFILE_FIELDS, UserContexts
from ml.explain.consent import must_consent
from ml.explain.explanation import Candidate, Context, Event, Explanation, Forecast, Interest, Prior, Score, Version
from ml.explain.outcome import outcome_of
from ml.explain.published import Published
from ml.explain.scores import Scored, load_models, score
from ml.lake import Lake
from ml.ranking.converts import ConvertsModel
from ml.ranking.priors import Priors
from ml.timeline import Timeline


def explain(
    user_id: str,
    published: Published,
    lake: Lake,
    timeline: Timeline,
    *,
    prompt_budget: int,
    about: dict[str, str],
    versions: list[Version],
    notes: list[str],
) -> Explanation:
    """One consenting user on the Timeline's day.

    Args:
        user_id: whom.
        published: where the stages' results lie.
        lake: validated logs.
        timeline: of the snapshot day.
        prompt_budget: most tokens of a prompt.
        about: source and profile of the run.
        versions: of what the explanation rests on.
        notes: to stand before those that arise here.

    Raises:
        BadInput: unknown user, or no consent.
    """
    must_consent(lake, user_id, timeline.as_of)
    found = published.context_of(user_id)
    predictions, proposed = published.predictions_of(user_id), published.candidates_of(user_id)
    names = _Names(lake, timeline.as_of)
    scored = None
    if published.ranker and len(proposed) and "llm" in predictions:
        interests = published.interests_of(user_id).assign(user_id=user_id, day=timeline.as_of)
        models, converts = load_models(published.ranker), ConvertsModel.load(published.ranker)
        scored = score(lake, timeline, proposed, Priors(predictions["llm"], interests), models, converts)
    return Explanation(
        user_id=user_id,
        as_of=timeline.as_of,
        **about,
        context=_context(*found, prompt_budget) if found else None,
        predictions={source: names.forecasts(rows) for source, rows in predictions.items()},
        interests=[Interest.model_validate(row) for row in published.interests_of(user_id).to_dict("records")],
        priors=names.priors(proposed, scored) if scored else [],
        ranked_for=scored.day if scored else None,
        surface=scored.surface if scored else None,
        score_formula=scored.formula if scored else None,
        candidates=names.candidates(proposed, scored),
        outcome=outcome_of(lake, timeline, user_id, found[0] if found else None),
        versions=versions,
        notes=[*notes, *_missing(published, found is not None, predictions, scored)],
    )


def _context(contexts: UserContexts, rendered: pd.Series, budget: int) -> Context:
    dropped = int(rendered["n_dropped"])
    events = [
        Event(
            known=row["time"],
            happened=row["event_time"],
            kind=row["kind"],
            text=row["text"],
            advertiser=row["advertiser_name"],
            category=row["category"],
            in_prompt=place >= dropped,
        )
        for place, row in enumerate(_records(contexts.events))
    ]
    return Context(
        profile=_records(contexts.users[list(PROFILE_FIELDS)])[0],
        events=events,
        prompt=rendered["prompt"],
        n_tokens=int(rendered["n_tokens"]),
        budget=budget,
        n_dropped=dropped,
        prompt_version=str(rendered["prompt_version"]),
        content_hash=rendered["content_hash"],
    )


class _Names:
    """Names, verticals and ads as they were known on the day."""

    def __init__(self, lake: Lake, as_of: date) -> None:
        with lake.connect(as_of=as_of) as con:
            self.advertisers = con.execute("SELECT advertiser_id, name, vertical FROM advertisers").df()
            self.ads = con.execute("SELECT ad_id, title, category FROM ads").df().set_index("ad_id")
        self.advertisers = self.advertisers.set_index("advertiser_id")

    def of(self, advertiser_id: str) -> str:
        return str(self.advertisers["name"].get(advertiser_id, advertiser_id))

    def forecasts(self, rows: pd.DataFrame) -> list[Forecast]:
        return [
            Forecast(
                rank=row["rank"],
                advertiser_id=row["advertiser_id"],
                advertiser=self.of(row["advertiser_id"]),
                vertical=self.advertisers["vertical"].get(row["advertiser_id"]),
                probability=row["probability"],
            )
            for row in _records(rows)
        ]

    def priors(self, proposed: pd.DataFrame, scored: Scored) -> list[Prior]:
        """One an advertiser: all its ads share them."""
        table = scored.priors.assign(advertiser_id=proposed["advertiser_id"].to_numpy())
        table = table.drop_duplicates("advertiser_id").sort_values("prior_probability", ascending=False, kind="stable")
        return [
            Prior(advertiser_id=(of := row.pop("advertiser_id")), advertiser=self.of(of), values=row)
            for row in _records(table)
        ]

    def candidates(self, proposed: pd.DataFrame, scored: Scored | None) -> list[Candidate]:
        found = []
        for place, row in enumerate(_records(proposed)):
            ad = self.ads.loc[row["ad_id"]] if row["ad_id"] in self.ads.index else {}
            scores = {
                arm: Score(
                    probability=float(p[place]),
                    score=float(scored.score[arm][place]),
                    position=int(scored.position[arm][place]),
                )
                for arm, p in (scored.probability if scored else {}).items()
                if scored
            }
            del row["user_id"]
            row |= {"generators": row["generators"].split("+"), "advertiser": self.of(row["advertiser_id"])}
            title = _known(ad.get("title"))
            row |= {"title": None if title and looks_private(title) else title, "category": _known(ad.get("category"))}
            found.append(Candidate(**row, scores=scores))
        return found


def _missing(published: Published, has_context: bool, predictions: dict[str, Any], scored: Scored | None) -> list[str]:
    """Why a part is not there."""
    notes = []
    if published.contexts and not has_context:
        notes.append("No context: the user was not active in the days that count (setting contexts.active_days).")
    elif published.predictions and "llm" not in predictions:
        notes.append(
            "Not scored: too few conversions (predictions.min_conversions), or not in the sample of scored users "
            "(predictions.max_users). Without predictions there are neither priors nor candidates."
        )
    if published.controls is None:
        notes.append("No controls yet: the other sources are run once the outcomes of the day are known.")
    if scored and scored.surface is None:
        notes.append(
            "The log has no impressions: the ranker trained on sampled negatives, so its probabilities order ads and "
            "their level means nothing."
        )
    return notes


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries of plain values, null as None."""
    return [{str(name): _known(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _known(value: Any) -> Any:
    return None if value is None or pd.isna(value) else value
