"""Which day `make run` takes, and what it says when a day does not fit the logs."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ml.errors import BadInput
from ml.timeline import Window
from orchestration.runner import choose_day
from orchestration.settings import Settings
from orchestration.workspace import Workspace

LOGS = Window(date(2026, 3, 1), date(2026, 5, 6))


def space(tmp_path: Path, as_of: date | None = None) -> Workspace:
    return Workspace(Settings(profile="tiny", out=tmp_path, as_of=as_of))


def test_the_newest_closed_day_is_the_default(tmp_path):
    assert choose_day(space(tmp_path), LOGS) == (date(2026, 4, 22), True)


def test_a_later_day_is_open(tmp_path):
    assert choose_day(space(tmp_path, date(2026, 4, 23)), LOGS) == (date(2026, 4, 23), False)


@pytest.mark.parametrize(
    ("day", "reason"),
    [(date(2026, 5, 7), "after the logs"), (date(2026, 3, 21), "too early"), (date(2025, 1, 1), "too early")],
)
def test_a_day_that_does_not_fit_says_why_and_which_do(tmp_path, day, reason):
    with pytest.raises(BadInput, match=reason) as raised:
        choose_day(space(tmp_path, day), LOGS)
    assert "2026-03-22..2026-05-06" in str(raised.value) and "2026-04-22" in str(raised.value)


def test_the_earliest_day_it_names_fits(tmp_path):
    assert choose_day(space(tmp_path, date(2026, 3, 22)), LOGS) == (date(2026, 3, 22), True)
