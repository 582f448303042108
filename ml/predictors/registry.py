"""The sources that need no GPU and no language model, as data: a new one is a new row here."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from ml.predictors.base import AdvertiserPredictor
from ml.predictors.cooccurrence import Cooccurrence, CooccurrenceSettings
from ml.predictors.popularity import Popularity, PopularitySettings
from ml.predictors.repeat_last import RepeatLast, RepeatLastSettings


class BaselineSettings(BaseModel):
    """Settings of the sources that train in seconds, on all training users."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    popularity: PopularitySettings = Field(default_factory=PopularitySettings)
    """What everybody converts with lately."""
    repeat_last: RepeatLastSettings = Field(default_factory=RepeatLastSettings)
    """The user's own past."""
    cooccurrence: CooccurrenceSettings = Field(default_factory=CooccurrenceSettings)
    """What users with a similar past convert with."""

    @classmethod
    def with_half_life(cls, days: float) -> BaselineSettings:
        """Settings in which everything forgets at one pace, for logs much denser or sparser than ads logs."""
        popularity = PopularitySettings(half_life_days=days)
        return cls(
            popularity=popularity,
            repeat_last=RepeatLastSettings(half_life_days=days, popularity=popularity),
            cooccurrence=CooccurrenceSettings(popularity=popularity),
        )


BASELINES: dict[str, Callable[[BaselineSettings], AdvertiserPredictor]] = {
    Popularity.name: lambda settings: Popularity(settings.popularity),
    RepeatLast.name: lambda settings: RepeatLast(settings.repeat_last),
    Cooccurrence.name: lambda settings: Cooccurrence(settings.cooccurrence),
}


def baselines(settings: BaselineSettings | None = None) -> list[AdvertiserPredictor]:
    """One unfitted predictor per row of `BASELINES`."""
    chosen = settings or BaselineSettings()
    return [make(chosen) for make in BASELINES.values()]
