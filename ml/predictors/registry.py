"""The sources that need no GPU and no language model, as data: a new one is a new row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ml.predictors import search_spaces
from ml.predictors.base import AdvertiserPredictor
from ml.predictors.cooccurrence import Cooccurrence, CooccurrenceSettings
from ml.predictors.ials import Ials, IalsSettings
from ml.predictors.itemknn import ItemKnn, ItemKnnSettings
from ml.predictors.popularity import Popularity, PopularitySettings
from ml.predictors.repeat_last import RepeatLast, RepeatLastSettings
from ml.predictors.sequence import SequencePredictor, SequenceSettings
from ml.predictors.text_linear import TextLinear, TextLinearSettings

if TYPE_CHECKING:
    from optuna import Trial


class BaselineSettings(BaseModel):
    """Settings of the sources that train in seconds or minutes, on all training users."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    sources: tuple[str, ...] | None = None
    """Those that run beside the LLM every day, by name; null: all."""
    popularity: PopularitySettings = Field(default_factory=PopularitySettings)
    """What everybody converts with lately."""
    repeat_last: RepeatLastSettings = Field(default_factory=RepeatLastSettings)
    """The user's own past."""
    cooccurrence: CooccurrenceSettings = Field(default_factory=CooccurrenceSettings)
    """What users with a similar past convert with."""
    ials: IalsSettings = Field(default_factory=IalsSettings)
    """Matrix factorisation of who converted with whom."""
    itemknn: ItemKnnSettings = Field(default_factory=ItemKnnSettings)
    """Nearest neighbours of the user's own past."""
    text_linear: TextLinearSettings = Field(default_factory=TextLinearSettings)
    """The words of the prompt, without pretraining."""
    sequence: SequenceSettings = Field(default_factory=SequenceSettings)
    """A transformer over the events themselves, without their names."""

    @field_validator("sources")
    @classmethod
    def _are_rows(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = sorted(set(value or ()) - set(BASELINES))
        if unknown:
            raise ValueError(f"no such source: {', '.join(unknown)}; there are {', '.join(BASELINES)}")
        return value

    @classmethod
    def with_half_life(cls, days: float) -> BaselineSettings:
        """Settings in which everything forgets at one pace, for logs much denser or sparser than ads logs."""
        popularity = PopularitySettings(half_life_days=days)
        return cls(
            popularity=popularity,
            repeat_last=RepeatLastSettings(half_life_days=days, popularity=popularity),
            cooccurrence=CooccurrenceSettings(popularity=popularity),
            ials=IalsSettings(popularity=popularity),
            itemknn=ItemKnnSettings(popularity=popularity),
            # who goes with whom fades more slowly than who is in fashion
            sequence=SequenceSettings(half_life_days=4 * days),
        )


@dataclass(frozen=True)
class Source:
    """One row: how a source is made from its section of the settings, and the space its tuning searches."""

    make: Callable[[BaselineSettings], AdvertiserPredictor]
    suggest: Callable[[Trial], dict[str, object]]
    """Changes to the source's own section."""


BASELINES: dict[str, Source] = {
    Popularity.name: Source(lambda s: Popularity(s.popularity), search_spaces.popularity),
    RepeatLast.name: Source(lambda s: RepeatLast(s.repeat_last), search_spaces.repeat_last),
    Cooccurrence.name: Source(lambda s: Cooccurrence(s.cooccurrence), search_spaces.cooccurrence),
    Ials.name: Source(lambda s: Ials(s.ials), search_spaces.ials),
    ItemKnn.name: Source(lambda s: ItemKnn(s.itemknn), search_spaces.itemknn),
    TextLinear.name: Source(lambda s: TextLinear(s.text_linear), search_spaces.text_linear),
    SequencePredictor.name: Source(lambda s: SequencePredictor(s.sequence), search_spaces.sequence),
}


def baselines(settings: BaselineSettings | None = None) -> list[AdvertiserPredictor]:
    """One unfitted predictor per row of `BASELINES` that `settings.sources` names, in the order of the rows."""
    chosen = settings or BaselineSettings()
    return [row.make(chosen) for name, row in BASELINES.items() if chosen.sources is None or name in chosen.sources]
