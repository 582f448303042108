"""A run's name says what differs from its preset, in what matters to the asset, and nothing that may not be told."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from orchestration.deviations import deviations, parameters, run_name
from orchestration.graph import NODES
from orchestration.settings import Settings

DAY = date(2026, 4, 22)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("profile", ["tiny", "small", "full"])
@pytest.mark.parametrize("source", ["world", "purchases"])
@pytest.mark.parametrize("asset", NODES)
def test_a_preset_differs_in_nothing(profile: str, source: str, asset: str) -> None:
    settings = Settings(profile=profile, source=source)
    assert run_name(settings, asset, DAY) == f"defaults · {source}-{profile} 2026-04-22"


def test_a_change_is_named_where_it_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADPRIOR_LLM__EPOCHS", "2")
    monkeypatch.setenv("ADPRIOR_LLM__BASE_MODEL", "some/place/Qwen3-0.6B")
    settings = Settings(profile="tiny")
    expected = "llm.base_model=Qwen3-0.6B, llm.epochs=2 · world-tiny 2026-04-22"
    for asset in ("advertiser_llm", "ranker", "evaluation"):
        assert run_name(settings, asset, DAY) == expected
    assert run_name(settings, "retrieval_model", DAY).startswith("defaults ·")


def test_a_value_that_the_preset_has_too_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADPRIOR_PREDICTIONS__SHARDS", "2")
    assert deviations(Settings(profile="tiny"), "evaluation") == {}
    assert deviations(Settings(profile="small"), "evaluation") == {"predictions.shards": 2}


def test_many_changes_are_counted_not_listed() -> None:
    changed = {"rounds": 5, "max_depth": 2, "negatives": 3, "threads": 1, "reg_lambda": 1.0, "tail_share": 0.2}
    name = run_name(Settings(profile="tiny", ranker=changed), "ranker", DAY)
    assert name.count("ranker.") == 4 and "2 more ·" in name


def test_another_log_is_a_difference_and_only_its_name_is_shown(tmp_path: Path) -> None:
    settings = Settings(profile="tiny", source="purchases", data=tmp_path / "my-shop")
    assert run_name(settings, "ranker", DAY) == "data=my-shop · purchases-tiny 2026-04-22"


def test_parameters_hold_what_changes_results_and_nothing_else() -> None:
    found = parameters(Settings(profile="tiny", out=Path("secret-place")), "evaluation")
    assert {"llm.epochs", "ranker.max_depth", "timeline.label_window_days", "world.users", "seed"} <= set(found)
    assert not [name for name in found if name.startswith(("ui", "out", "checks"))]
    assert not any(isinstance(value, dict) for value in found.values())
    assert not [
        n for n in parameters(Settings(profile="tiny", source="purchases"), "evaluation") if n.startswith("world")
    ]
