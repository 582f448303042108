"""Presets of the world's size: a name gives all three numbers, what is given beside it stays."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ml.world.catalogue import load_names
from ml.world.settings import SIZES, WorldSettings


def test_the_defaults_are_the_small_world() -> None:
    defaults = WorldSettings()
    assert {name: WorldSettings.model_fields[name].default for name in SIZES["small"]} == SIZES["small"]
    assert {name: getattr(defaults, name) for name in SIZES["small"]} == SIZES["small"]
    assert (defaults.days, defaults.outcome_days) == (60, 7)


@pytest.mark.parametrize("size", list(SIZES))
def test_a_size_sets_what_is_not_given(size: str) -> None:
    found = WorldSettings.model_validate({"size": size})
    assert {name: getattr(found, name) for name in SIZES["small"]} == SIZES[found.size]
    assert WorldSettings.model_validate({"size": size, "users": 77}).users == 77
    assert WorldSettings.model_validate(found.model_dump(mode="json")) == found


def test_the_large_world_is_as_large_as_it_says() -> None:
    large = WorldSettings(size="large")
    assert (large.users, large.advertisers, large.ads) == (100_000, 2_000, 20_000)
    assert large.advertisers <= len(load_names())


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ValidationError, match="'tiny', 'small' or 'large'"):
        WorldSettings.model_validate({"size": "huge"})
