"""Settings of the simulated world: its size, and the few rates that shape it.

    WorldSettings()                              # small
    WorldSettings(size="large", users=20_000)    # large, but for the number of users

The defaults are the `small` world; the other sizes differ in nothing but `users`, `advertisers` and `ads` (`SIZES`).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml.timeline import Window
from ml.world.scenarios import ScenarioName

SizeName = Literal["tiny", "small", "large"]
SIZES: dict[SizeName, dict[str, int]] = {
    "tiny": {"users": 300, "advertisers": 40, "ads": 300},
    "small": {"users": 3_000, "advertisers": 500, "ads": 2_500},
    "large": {"users": 100_000, "advertisers": 2_000, "ads": 20_000},
}
"""Seconds to simulate, half a minute, and some minutes on several cores."""


class WorldSettings(BaseModel):
    """How big the world is and how its people behave."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)

    size: SizeName = "small"
    """Preset for users, advertisers and ads, where they are not given: tiny, small, or large (100,000 users)."""
    first_day: date = date(2026, 3, 1)
    """First day of logs (UTC)."""
    days: int = Field(60, ge=1, le=400)
    """Days up to the last label window."""
    outcome_days: int = Field(7, ge=0, le=30)
    """Further days of logs, in which late conversions become known."""
    warm_up_days: int = Field(28, ge=0, le=90)
    """Days lived before `first_day` and not logged, so that day 0 finds people in the middle of things."""

    users: int = Field(3000, ge=10)
    """People."""
    advertisers: int = Field(500, ge=12, le=2596)
    """Advertisers, drawn from `names.csv` evenly over verticals and subverticals."""
    ads: int = Field(2500, ge=12)
    """Ads; every advertiser has at least one."""
    entering: float = Field(0.04, ge=0, le=0.2)
    """Share of advertisers that enter after the first fortnight."""
    leaving: float = Field(0.03, ge=0, le=0.2)
    """Share of advertisers that leave after the first fortnight."""
    budget_per_user: float = Field(0.25, gt=0)
    """Dollars a day that all advertisers together may spend per user."""

    consent_share: float = Field(0.92, ge=0, le=1)
    """Share of users who consent at the start; about 1 % of them withdraw later."""
    life_events_per_user: float = Field(0.7, ge=0)
    """Life events (a move, a baby, a new sport) per user and 60 days; see `ml.world.events`."""
    intents_per_week: float = Field(0.86, ge=0)
    """Times a week a user starts to want something."""
    conversion_share: float = Field(0.65, ge=0, le=1)
    """Share of those intents that end in a conversion even if no ad helps."""
    brand_query_share: float = Field(0.15, ge=0, le=1)
    """Share of an intent's searches that name an advertiser."""
    idle_per_week: float = Field(0.12, ge=0)
    """Searches and visits a week that mean nothing."""
    looking_per_day: float = Field(0.35, ge=0)
    """Searches and visits a day of a user whose life event has just begun, before there is anything to convert with."""
    loyalty: float = Field(1.35, ge=0)
    """Utility (logit) each remembered conversion adds to that advertiser, up to two of them; mean over users."""
    price_sensitivity: float = Field(0.7, ge=0)
    """Utility (logit) an advertiser loses per e-fold of its price over what is usual; mean over users."""
    repeat_share: float = Field(0.25, ge=0, le=1)
    """Chance that a conversion is repeated within weeks without a search, where goods are used up."""

    sessions_per_day: float = Field(1.12, ge=0)
    """Visits to the home surface per user and day, each one ad request."""
    click_rate: float = Field(0.0095, ge=0, le=1)
    """Chance of a click at the top position by a user without interest or intent."""
    click_days: int = Field(7, ge=1, le=7)
    """A conversion is credited to a clicked impression at most this many days before it."""
    view_days: int = Field(1, ge=1, le=7)
    """Without such a click, to an impression at most this many days before it."""

    reserve_cpm: float = Field(4.0, gt=0)
    """Reserve price, dollars per thousand impressions at the top: what an ad's value must reach to take part."""
    frequency_cap: int = Field(3, ge=1)
    """Most impressions of one advertiser that a user is shown on a day."""
    explored_share: float = Field(0.02, ge=0, le=1)
    """Share of ad requests that rank their bidders uniformly at random; their propensity is logged."""
    pacing_hours: Literal[1, 2, 3, 4, 6, 8, 12, 24] = 4
    """Hours between two decisions on how often each advertiser takes part in auctions, to make its budget last."""

    shard_users: int = Field(4096, ge=10)
    """Users who are simulated and written together: one file of each table a day. Bounds memory."""
    processes: int = Field(1, ge=1, le=256)
    """Processes that simulate; makes no difference to the logs."""

    scenario: ScenarioName = "none"
    """What happens from `scenario_day` on: nothing, interest_upset (people want other things), sudden_trend (everybody
    wants one thing), new_advertisers (a wave of them), slow_conversions (known three times as late), or broken_column
    (an upstream column in another format)."""
    scenario_day: int = Field(53, ge=0)
    """First day of the scenario, as a day number: 0 is `first_day`."""

    @model_validator(mode="before")
    @classmethod
    def _sized(cls, given: Any) -> Any:
        """What the size says, under what is given; an unknown size is left to the field's own check."""
        if isinstance(given, dict) and isinstance(size := given.get("size", "small"), str):
            return {**next((values for name, values in SIZES.items() if name == size), {}), **given}
        return given

    @model_validator(mode="after")
    def _enough_ads(self) -> Self:
        if self.ads < self.advertisers:
            raise ValueError(f"ads ({self.ads}) must be at least advertisers ({self.advertisers})")
        return self

    @property
    def total_days(self) -> int:
        """Logged days."""
        return self.days + self.outcome_days

    @property
    def window(self) -> Window:
        """First and last logged day."""
        return Window(self.first_day, self.first_day + timedelta(days=self.total_days - 1))
