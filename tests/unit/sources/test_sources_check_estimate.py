"""The expected run time: a run like a measured one takes what that took, more work takes longer, nothing is made up."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.sources.inspection.estimate import UNITS, FasterRun, MeasuredRun, Work, estimate, reference_runs

WORK = Work(**{field.name: float(i + 1) for i, field in enumerate(fields(Work))})
UNITS_OF_WORK = {stage: getattr(WORK, unit) for stage, unit in UNITS.items()}


def measured(seconds: float, base_model: str = "m") -> MeasuredRun:
    return MeasuredRun("a run", base_model, 7.0, UNITS_OF_WORK, dict.fromkeys(UNITS, seconds))


def test_the_same_work_takes_the_same_time() -> None:
    found = estimate(lambda _: WORK, [measured(2.0)], [], "m")
    assert found.low == found.high == pytest.approx(2.0 * len(UNITS))


def test_the_range_is_that_of_the_measured_runs() -> None:
    found = estimate(lambda _: WORK, [], [measured(2.0), measured(5.0), measured(100.0, "other")], "m")
    assert (found.low, found.high) == (pytest.approx(2.0 * len(UNITS)), pytest.approx(5.0 * len(UNITS)))


def test_runs_of_this_workspace_count_alone_and_lend_what_they_lack() -> None:
    own = replace(measured(1.0), units={"ranker": UNITS_OF_WORK["ranker"]}, seconds={"ranker": 1.0})
    found = estimate(lambda _: WORK, [own], [measured(9.0)], "m")
    assert found.by_stage["ranker"] == pytest.approx(1.0)
    assert found.by_stage["evaluation"] == pytest.approx(9.0)


def test_a_faster_machine_lowers_the_range_in_proportion() -> None:
    twice = {stage: 2 * units for stage, units in UNITS_OF_WORK.items()}
    run = replace(measured(2.0), faster=FasterRun("elsewhere", 1.0 * len(UNITS), twice))
    found = estimate(lambda _: WORK, [], [run], "m")
    assert found.low and found.high and found.low == pytest.approx(found.high / 4)
    assert "elsewhere" in found.basis


def test_nothing_is_claimed_of_a_model_never_run() -> None:
    found = estimate(lambda _: WORK, [measured(1.0)], reference_runs(), "some/other-model")
    assert found.low is None and found.high is None and "some/other-model" in found.basis


@given(st.sampled_from([field.name for field in fields(Work)]), st.floats(1.0, 100.0))
def test_more_work_never_takes_less(name: str, times: float) -> None:
    more = replace(WORK, **{name: getattr(WORK, name) * times})
    small, large = (estimate(lambda _, work=work: work, [measured(1.0)], [], "m").high for work in (WORK, more))
    assert small and large and large >= small


@pytest.mark.parametrize("run", reference_runs(), ids=lambda run: run.origin)
def test_reference_runs_are_complete_and_say_where_they_come_from(run: MeasuredRun) -> None:
    assert set(run.units) == set(run.seconds) == set(UNITS)
    assert run.origin and run.tokens_per_event > 0
    assert all(value > 0 for value in run.units.values())
