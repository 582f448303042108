"""Explanation: what `adprior explain` shows of one user on one day, as a typed structure.

It holds what the stages published, and nothing that they did not: no raw text, no URL. `outcome` stands apart:
it is what happened afterwards, and no model saw it.
"""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Event(_Part):
    """One event of the stream."""

    known: datetime
    """When it became known: the order of the stream."""
    happened: datetime
    kind: str
    """search, visit, save or conversion."""
    text: str | None
    """Of a search, scrubbed."""
    advertiser: str | None
    category: str | None
    in_prompt: bool
    """Did it fit the token budget?"""


class Context(_Part):
    """What is known of the user at the end of the day."""

    profile: dict[str, str | None]
    events: list[Event]
    prompt: str
    """As the LLM reads it, cut to the budget."""
    n_tokens: int
    budget: int
    n_dropped: int
    """Oldest events that the budget left out."""
    prompt_version: str
    content_hash: str


class Forecast(_Part):
    """One advertiser that a source predicts."""

    rank: int
    advertiser_id: str
    advertiser: str
    vertical: str | None
    probability: float
    """P(this advertiser | the user converts in the label window)."""


class Interest(_Part):
    """One subvertical that the LLM forecasts."""

    rank: int
    interest: str
    probability: float
    """P(the next conversion is of this category)."""


class Prior(_Part):
    """What the ranker reads of the forecasts when it ranks an ad of this advertiser."""

    advertiser_id: str
    advertiser: str
    values: dict[str, float]
    """By feature name, as in ml/ranking/priors.py."""


class Score(_Part):
    """What one ranker says of one candidate."""

    probability: float
    """Calibrated P(conversion | impression)."""
    score: float
    """What showing the ad is worth, by its usual bid: `score_formula` of the explanation."""
    position: int
    """Among the user's candidates, 1 = first; by the score."""


class Candidate(_Part):
    """One ad that may be ranked for the user: who proposed it, and how the rankers score it."""

    rank: int
    """In the blended candidate set."""
    ad_id: str
    title: str | None
    category: str | None
    advertiser_id: str
    advertiser: str
    generators: list[str]
    conventional_rank: int | None
    conventional_score: float | None
    targeted_rank: int | None
    targeted_score: float | None
    interest_rank: int | None
    interest_score: float | None
    tower_score: float | None
    """Of the two-tower, whoever proposed the ad; None for users without a stream."""
    scores: dict[str, Score]
    """By ranker: "none" is the one without priors."""


class Conversion(_Part):
    """One conversion in the label window."""

    advertiser_id: str
    advertiser: str
    ad_id: str | None
    happened: datetime
    known: datetime
    is_new: bool | None
    """Had the user never converted with this advertiser, as far as was known on the day? None without a context."""


class Outcome(_Part):
    """What happened in the label window. NO MODEL SAW THIS."""

    first: date
    last: date
    closes: date
    """Day by whose end every outcome is known."""
    closed: bool
    """Is it over, by the logs there are? If not, no conversion is listed."""
    conversions: list[Conversion]
    """In order; the first one is the label."""

    def mark(self, advertiser_id: str) -> str:
        """ "label" for the advertiser the user converted with first, "later" for another one, else ""."""
        found = [conversion.advertiser_id for conversion in self.conversions]
        return "" if advertiser_id not in found else "label" if advertiser_id == found[0] else "later"

    def bought(self, ad_id: str) -> bool:
        """Did the user convert with this very ad?"""
        return ad_id in [conversion.ad_id for conversion in self.conversions]


class Version(_Part):
    """One published result or model that the explanation rests on."""

    what: str
    """Name of the asset."""
    version: str
    """Of a model `<day>-<recipe>`; of a daily table its day."""
    fingerprint: str
    made_by: str | None = None
    """Version of the model that made it."""
    rows: int | None = None
    dagster_run: str | None = None
    mlflow_run: str | None = None
    registered: str | None = None
    """Version in MLflow's registry, with its aliases."""
    up_to_date: bool
    """Would the settings and logs in force make the same?"""


class Explanation(_Part):
    """One user on one day."""

    user_id: str
    as_of: date
    source: str
    profile: str
    context: Context | None
    predictions: dict[str, list[Forecast]]
    """By source, likeliest first."""
    interests: list[Interest]
    """Likeliest first; empty where the LLM was trained without them."""
    priors: list[Prior]
    """Of the candidates' advertisers, likeliest first."""
    score_formula: str | None
    """Of the score that the candidates' positions go by."""
    ranked_for: date | None
    """Day of the impressions that the ranker's scores are for."""
    surface: str | None
    """Where they would be shown: the user's commonest surface. None in a log without impressions."""
    candidates: list[Candidate]
    outcome: Outcome
    versions: list[Version]
    notes: list[str]
    """What a reader must know to read it rightly, such as why a part is missing."""
