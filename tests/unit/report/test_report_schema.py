"""Wrong results end in one clear error that names the key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from report_example import AS_OF, example

from ml.errors import BadInput
from ml.report.schema import parse
from ml.timeline import Timeline, TimelineSettings

Path = tuple[Any, ...]
FREE = {
    *("stages", "predictors", "predictor_calibration", "predictor_costs"),
    *("predictor_groups", "predictor_exclusive", "predictor_reliability", "retrieval", "concentration"),
    *("ranker", "ranker_reliability", "ranker_importance", "ranker_importance_groups"),
    *("ranker_click", "ranker_click_reliability"),
}
"""Their keys are names of assets or arms: any set of them is legal."""


def keys_of(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, inner in value.items():
            optional = path[:1] == ("counts",) or path[:1] == ("predictors",)
            if not (path in {(f,) for f in FREE} or optional):
                yield (*path, key)
            yield from keys_of(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from keys_of(value[0], (*path, 0))


def without(results: dict[str, Any], path: Path) -> dict[str, Any]:
    holder: Any = results
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    return results


REQUIRED = [*keys_of(example()), ("counts", "test_users"), ("counts", "new_share"), ("predictors", "llm", "recall@10")]


@pytest.mark.parametrize("path", REQUIRED, ids=lambda p: ".".join(map(str, p)))
def test_each_missing_key_is_named(path: Path) -> None:
    with pytest.raises(BadInput) as error:
        parse(without(example(), path))
    for step in path:
        assert str(step) in error.value.what


def test_all_faults_are_told_at_once() -> None:
    results = without(without(example(), ("seed",)), ("machine", "cpu"))
    with pytest.raises(BadInput, match=r"`seed`.*`machine.cpu`|`machine.cpu`.*`seed`"):
        parse(results)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("seconds_total",), float("nan"), "seconds_total"),
        (("predictors", "llm", "recall@10"), {"value": 0.2, "low": 0.3, "high": 0.1}, "low 0.3 above high 0.1"),
        (("predictor_differences", 0, "metric"), "hit_rate", "unknown measure 'hit_rate'"),
        (("predictor_differences", 0, "low"), None, "all given or all null"),
        (("users",), ["u1"], "users"),
        (("ranker_reliability", "llm", 0, "user_id"), "u1", "user_id"),
        (("timeline", "test"), "soon", "timeline.test"),
    ],
)
def test_wrong_values_are_named(path: Path, value: Any, said: str) -> None:
    results = holder = example()
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    with pytest.raises(BadInput, match=said.replace("[", r"\[")):
        parse(results)


def test_a_timeline_may_be_given_by_its_own_windows() -> None:
    timeline = Timeline(AS_OF, TimelineSettings())
    results = example()
    results["timeline"] = {
        **{name: getattr(timeline, name) for name in ("predictor_cutoff", "ranker", "calibration", "test")},
        "test_closes": timeline.test_closes,
        "label_window_days": 7,
    }
    assert parse(results).timeline.ranker.first == date(2026, 4, 2)
    results["timeline"]["ranker"] = str(timeline.ranker)
    assert parse(results).timeline.ranker.last == timeline.ranker.last
