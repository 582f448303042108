"""Scales, digits and positions."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import AS_OF, example

from ml.errors import BadInput
from ml.report import drawings
from ml.report.charts import Scale
from ml.report.formats import decimals_for, duration, number
from ml.report.measures import measure
from ml.report.schema import parse

figures = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(st.lists(figures, min_size=1, max_size=6), st.booleans())
def test_a_scale_holds_its_values_in_order_between_few_ticks(values: list[float], zero: bool) -> None:
    scale = Scale.over(values, zero=zero)
    slack = 1e-9 * max(map(abs, values)) + 1e-12
    assert scale.low - slack <= min(values) <= max(values) <= scale.high + slack
    positions = [scale.at(v) for v in sorted(values)]
    assert positions == sorted(positions)
    assert all(0 <= p <= 100 for p in positions)
    assert 2 <= len(scale.ticks) <= 9
    if zero:
        assert any(abs(t) < scale.step * 1e-6 for t in scale.ticks)


@given(st.lists(st.floats(-0.99, 0.99), min_size=2, max_size=5), st.booleans())
def test_tick_labels_that_are_shown_fit_and_differ(values: list[float], signed: bool) -> None:
    labels = [text for _, text in Scale.over(values, zero=True).sparse_labels("plain", signed=signed)]
    assert len(labels) == len(set(labels)) >= 1


@given(st.floats(-1e9, 1e9), st.integers(0, 6))
def test_a_written_number_is_within_half_its_last_digit(value: float, decimals: int) -> None:
    text = number(value, decimals, signed=True).replace("−", "-").replace(",", "")
    assert abs(float(text) - value) <= 0.5 * 10**-decimals * (1 + 1e-6) + 1e-6 * abs(value) * 1e-6
    assert text not in ("-0", "+0", "-0.0", "+0.0")


@given(st.floats(1e-4, 5))
def test_digits_grow_as_intervals_shrink(width: float) -> None:
    assert decimals_for([width / 10], "plain") >= decimals_for([width], "plain")
    if decimals_for([width], "plain") < 6:
        assert width * 10 ** decimals_for([width], "plain") >= 25 * (1 - 1e-9)


def test_durations_read_as_people_say_them() -> None:
    assert [duration(s).replace("\u00a0", " ") for s in (9.44, 612.3, 3661.0)] == [
        "9.4 s",
        "10 min 12 s",
        "1 h 1 min 1 s",
    ]


def test_the_timeline_is_drawn_without_gap_or_overlap_and_splits_at_as_of() -> None:
    results = parse(example())
    spans = drawings.timeline(results.timeline, results.as_of)
    for left, right in pairwise(spans):
        assert left.left + left.width == pytest.approx(right.left, abs=0.02)
    assert spans[-1].left + spans[-1].width == pytest.approx(100, abs=0.02)
    assert [s.key for s in spans] == ["predictors", "ranker", "calibration", "wait", "test", "closes"]
    assert next(s for s in spans if s.key == "test").days.startswith(str(AS_OF + timedelta(days=1)))


def test_logs_without_reporting_delay_have_no_waiting_spans() -> None:
    results = example()
    results["timeline"] |= {
        "calibration": f"{AS_OF - timedelta(days=10)}..{AS_OF}",
        "test_closes": str(AS_OF + timedelta(days=7)),
    }
    typed = parse(results)
    keys = [s.key for s in drawings.timeline(typed.timeline, typed.as_of)]
    assert keys == ["predictors", "ranker", "calibration", "test"]


def test_a_calibrated_bin_lies_on_the_diagonal() -> None:
    results = example()
    for bins in results["ranker_reliability"].values():
        for b in bins:
            b["observed"] = b["predicted"]
    plot = drawings.reliability(parse(results).ranker_reliability)
    assert all(x == y for points in plot.series.values() for x, y in points)


def test_an_unknown_measure_is_refused_and_named() -> None:
    with pytest.raises(BadInput, match="hit_rate"):
        measure("hit_rate")
