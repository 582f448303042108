"""Reference and report: stored bins, and verdicts on lakes whose drift is known by construction."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.lake import Lake
from ml.monitoring.drift import DriftReport, Row, measure_drift
from ml.monitoring.reference import OTHER, Bins, DriftReference, _bins, build_reference
from ml.monitoring.settings import DriftSettings
from tests.unit.monitoring.monitoring_lakes import FIRST, Week, last_day, write

SETTINGS = DriftSettings()
REFERENCE_WEEKS = 3


def reference_of(lake: Lake, settings: DriftSettings = SETTINGS, settle_days: int = 0) -> DriftReference:
    return build_reference(lake, last_day(REFERENCE_WEEKS), settings, settle_days=settle_days)


def report_of(lake: Lake, reference: DriftReference, day: date, volumes: dict | None = None) -> DriftReport:
    return measure_drift(lake, day, reference, volumes or {}, SETTINGS)


def row(report: DriftReport, feature: str) -> Row:
    return next(found for found in report.rows if found.feature == feature)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return write(tmp_path_factory.mktemp("quiet"), [Week()] * 5)


def shifted(root: Path, week: Week) -> tuple[DriftReport, DriftReference]:
    """The report of a fourth week that differs from the three before it as stated."""
    lake = write(root, [Week()] * REFERENCE_WEEKS + [week])
    reference = reference_of(lake)
    return report_of(lake, reference, last_day(4)), reference


def test_quiet_weeks_are_quiet(quiet: Lake) -> None:
    reference = reference_of(quiet)
    for day in range(15):
        report = report_of(quiet, reference, last_day(REFERENCE_WEEKS) + timedelta(days=day))
        assert (report.input, report.fault) == ("ok", "ok"), [r for r in report.rows if r.verdict == "alert"]


def test_only_consenting_users_count(quiet: Lake) -> None:
    """Those who do not consent all visit "secret", which would be the commonest category."""
    assert "secret" not in reference_of(quiet).features["activity_category"].labels


def test_another_category_mix_alerts_and_says_what_moved(tmp_path: Path) -> None:
    report, _ = shifted(tmp_path, Week(categories={"shoes": 0.2, "hotels": 0.3, "pets": 0.5}))
    found = row(report, "activity_category")
    assert found.verdict == "alert" and report.input == "alert" and report.fault == "ok"
    # by definition: 0.3 ln(0.5 / 0.2) on either side
    assert found.value == pytest.approx(2 * 0.3 * np.log(2.5), abs=0.12)
    moved = {m["value"]: m["now"] - m["reference"] for m in found.moved[:2]}
    assert moved["shoes"] == pytest.approx(-0.3, abs=0.05) and moved["pets"] == pytest.approx(0.3, abs=0.05)
    assert row(report, "conversion_advertiser").verdict == "ok"


def test_advertisers_are_told_by_name(tmp_path: Path) -> None:
    report, reference = shifted(tmp_path, Week(advertisers={"a1": 0.1, "a2": 0.3, "a3": 0.2, "a4": 0.4}))
    found = row(report, "conversion_advertiser")
    assert found.verdict == "alert" and {m["value"] for m in found.moved[:2]} == {"The a1", "The a4"}
    assert "a1" in reference.features["conversion_advertiser"].labels, "bins are by id: a renamed one is the same"


def test_other_values_alert_on_the_stored_edges(tmp_path: Path) -> None:
    report, reference = shifted(tmp_path, Week(value=35.0))
    assert row(report, "conversion_value").verdict == "alert"
    assert len(reference.features["conversion_value"].edges) == SETTINGS.numeric_bins - 1


def test_a_missing_column_is_a_fault_and_no_drift(tmp_path: Path) -> None:
    report, _ = shifted(tmp_path, Week(missing_category=0.6))
    assert report.fault == "alert" and report.input == "ok"
    found = row(report, "activity.category")
    assert found.value == pytest.approx(0.5 * 250 / 300, abs=0.1), "those without consent are never missing"


def test_unseen_advertisers_are_told_apart_from_drift_of_the_mix(tmp_path: Path) -> None:
    """A wave of new advertisers takes 40 % of conversions, from the others in equal shares."""
    old = {name: 0.6 * share for name, share in Week().advertisers.items()}
    names = [*old, "n1", "n2"]
    register = pd.DataFrame(
        {
            "advertiser_id": names,
            "name": names,
            "vertical": "all",
            "active_from": [FIRST - timedelta(days=90)] * 4 + [last_day(REFERENCE_WEEKS) + timedelta(days=1)] * 2,
        }
    )
    week = Week(advertisers={**old, "n1": 0.2, "n2": 0.2})
    lake = write(tmp_path, [Week()] * REFERENCE_WEEKS + [week], register=register)
    report = report_of(lake, reference_of(lake), last_day(4))
    found = row(report, "unseen_advertisers")
    assert found.verdict == "alert" and found.value == pytest.approx(0.4, abs=0.06)
    assert row(report, "conversion_advertiser").verdict == "ok", "the mix of the others is as it was"


def test_an_advertiser_that_left_is_no_drift(tmp_path: Path) -> None:
    names = list(Week().advertisers)
    gone = [None, None, None, last_day(REFERENCE_WEEKS)]
    start = FIRST - timedelta(days=90)
    register = pd.DataFrame(
        {"advertiser_id": names, "name": names, "vertical": "all", "active_from": start, "active_to": gone}
    )
    week = Week(advertisers={"a1": 4 / 9, "a2": 3 / 9, "a3": 2 / 9})
    for name, known in (("told", register), ("untold", None)):
        lake = write(tmp_path / name, [Week()] * REFERENCE_WEEKS + [week], register=known)
        found = row(report_of(lake, reference_of(lake), last_day(4)), "conversion_advertiser")
        assert (found.verdict == "ok") == (name == "told"), found


def test_advertisers_that_always_come_new_are_usual(tmp_path: Path) -> None:
    """Each week a tenth of conversions goes to advertisers of that week alone."""
    weeks = [Week(advertisers={"a1": 0.9, f"new{number}": 0.1}) for number in range(4)]
    lake = write(tmp_path, weeks)
    reference = reference_of(lake)
    found = row(report_of(lake, reference, last_day(4)), "unseen_advertisers")
    assert reference.unseen.value == pytest.approx(0.1, abs=0.03)
    assert found.verdict == "ok" and found.moved[0]["now"] == pytest.approx(0.1, abs=0.03)


def test_what_may_be_chance_is_not_alerted_however_large(tmp_path: Path) -> None:
    """A dozen categories and hardly more than min_n events: the same numbers alert if chance is not asked."""
    names = [f"c{i}" for i in range(12)]
    usual, now = dict.fromkeys(names, 1 / 12), dict.fromkeys(names, 0.06) | {"c0": 0.205, "c1": 0.195}
    weeks = [Week(categories=usual, events=175)] * REFERENCE_WEEKS + [Week(categories=now, events=175)]
    lake = write(tmp_path, weeks)
    reference = reference_of(lake)
    by_chance, asked = (
        row(measure_drift(lake, last_day(4), reference, {}, SETTINGS.model_copy(update=changed)), "activity_category")
        for changed in ({"max_p": 1.0}, {})
    )
    assert by_chance.verdict == "alert" and by_chance.value > SETTINGS.psi_alert
    assert asked.verdict == "ok" and asked.p_value is not None and asked.p_value > SETTINGS.max_p


def test_few_events_are_not_judged(tmp_path: Path) -> None:
    report, _ = shifted(tmp_path, Week(categories={"shoes": 1.0}, events=70, conversions=70))
    assert row(report, "activity_category").verdict == "too_few"
    assert row(report, "conversion_advertiser").verdict == "too_few"


@pytest.mark.parametrize(("bad", "verdict"), [(0, "ok"), (7, "warn"), (30, "alert")])
def test_quarantined_rows_are_a_fault(quiet: Lake, bad: int, verdict: str) -> None:
    day = last_day(4)
    counts = pd.DataFrame({"day": [str(day)], "rows": [1000 - bad], "quarantined": [bad]})
    report = report_of(quiet, reference_of(quiet), day, {"activity": counts})
    assert row(report, "activity.quarantined").verdict == verdict
    assert report.input == "ok"


def test_nothing_after_the_day_is_read(quiet: Lake, tmp_path: Path) -> None:
    upset = write(tmp_path, [Week()] * 4 + [Week(categories={"pets": 1.0}, advertisers={"a4": 1.0})])
    day = last_day(4)
    assert report_of(upset, reference_of(upset), day) == report_of(quiet, reference_of(quiet), day)


def test_a_reference_saved_and_loaded_is_the_same(quiet: Lake, tmp_path: Path) -> None:
    reference = reference_of(quiet)
    reference.save(tmp_path / "reference.json")
    again = DriftReference.load(tmp_path / "reference.json")
    assert again == reference and again.fingerprint == reference.fingerprint
    assert report_of(quiet, again, last_day(5)) == report_of(quiet, reference, last_day(5))


def test_an_edited_reference_is_refused(quiet: Lake, tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    reference_of(quiet).save(path)
    path.write_text(path.read_text().replace('"shoes"', '"shops"'))
    with pytest.raises(BadInput, match="not as it was saved"):
        DriftReference.load(path)


def test_a_training_window_shorter_than_a_window_is_refused(quiet: Lake) -> None:
    with pytest.raises(BadInput, match="fewer than one window"):
        reference_of(quiet, settle_days=15)


def test_reference_takes_whole_windows_after_reports_have_settled(quiet: Lake) -> None:
    assert reference_of(quiet).first == FIRST
    assert reference_of(quiet, settle_days=3).first == FIRST + timedelta(days=7)


VALUES = st.lists(st.tuples(st.integers(0, 2), st.floats(-50, 50), st.integers(1, 9)), min_size=1, max_size=60)


@given(VALUES, VALUES)
def test_numeric_bins_hold_every_value_once_and_edges_ascend(
    reference: list[tuple[int, float, int]], later: list[tuple[int, float, int]]
) -> None:
    columns = ["span", "value", "n"]
    then, now = pd.DataFrame(reference, columns=columns), pd.DataFrame(later, columns=columns)
    bins = _bins("numeric", then, 3, SETTINGS)
    assert list(bins.edges) == sorted(set(bins.edges))
    assert len(bins.labels) == len(bins.counts) == len(bins.edges) + 1
    assert bins.place(now).sum() == now["n"].sum()
    assert sum(bins.counts) == then["n"].sum() and (bins.place(then) == bins.counts).all()


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=80), st.integers(2, 5))
def test_categorical_bins_are_the_commonest_values(values: list[str], top: int) -> None:
    frame = pd.DataFrame({"span": 0, "value": values, "n": 1})
    bins = _bins("categorical", frame, 1, SETTINGS.model_copy(update={"top_values": top}))
    assert bins.labels[-1] == OTHER and len(bins.labels) <= top + 1
    kept = bins.counts[:-1]
    assert list(kept) == sorted(kept, reverse=True) and all(n >= 5 for n in kept)
    assert sum(bins.counts) == len(values)
    assert bins.place(pd.DataFrame({"value": ["never before"], "n": [3]}))[-1] == 3


def test_a_value_on_an_edge_goes_where_the_reference_put_it() -> None:
    bins = Bins("numeric", ("below 2", "2 to 5", "5 or more"), (2.0, 5.0), (1, 1, 1), 1.0)
    assert list(bins.place(pd.DataFrame({"value": [1.9, 2.0, 4.9, 5.0], "n": [1, 1, 1, 1]}))) == [1, 2, 1]
