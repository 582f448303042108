"""registry: the baselines as data."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from ml.predictors.registry import BASELINES, BaselineSettings, baselines
from tests.contracts.predictor_contract import habit_world


def test_every_row_makes_the_source_it_is_named_after() -> None:
    assert [source.name for source in baselines()] == list(BASELINES)
    assert list(BASELINES)[:3] == ["popularity", "repeat_last", "cooccurrence"]


def test_settings_reach_the_sources() -> None:
    popularity, repeat_last, cooccurrence, *_ = baselines(BaselineSettings.with_half_life(91))
    lives = [
        popularity.settings.half_life_days,
        repeat_last.settings.half_life_days,
        repeat_last.settings.popularity.half_life_days,
        cooccurrence.settings.popularity.half_life_days,
    ]
    assert lives == [91] * 4


def test_only_the_sources_asked_for_run() -> None:
    some = BaselineSettings(sources=("cooccurrence", "popularity"))
    assert [source.name for source in baselines(some)] == ["popularity", "cooccurrence"]
    with pytest.raises(ValidationError, match="no such source: coocurrence; there are popularity, repeat_last"):
        BaselineSettings(sources=("coocurrence",))


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="half_live_days"):
        BaselineSettings.model_validate({"popularity": {"half_live_days": 3}})


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_pickled_source_predicts_the_same(name: str) -> None:
    examples, _ = habit_world(60, np.random.default_rng(0))
    source = BASELINES[name].make(BaselineSettings()).fit(examples)
    again = pickle.loads(pickle.dumps(source))
    pd.testing.assert_frame_equal(source.predict(examples.contexts, 5), again.predict(examples.contexts, 5))
