"""The dry check finds what was planted, all of it at once and nothing else; its numbers are the pipeline's own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.contexts.build import build_contexts
from ml.contexts.examples import build_training_examples
from ml.contexts.labels import eligible_users, test_labels, with_context
from ml.contexts.settings import ContextSettings
from ml.lake import Lake
from ml.predictors.catalogue import build_catalogue
from ml.ranking.impressions import ranker_rows
from ml.sources.check import CheckPlan, CheckReport, check
from ml.sources.contract_logs import ContractLogs
from ml.sources.ingest import ingest
from ml.sources.mapping import AMAZON14, SAMPLE, load_mapping
from ml.sources.problem import Problem
from ml.sources.purchases import PurchaseLogs
from ml.timeline import Timeline, TimelineSettings
from tests.unit.sources.sources_good_log import FAULTS, PLAN, Fault, write_good


def look(root: Path, plan: CheckPlan = PLAN) -> CheckReport:
    with tempfile.TemporaryDirectory() as scratch:
        return check(ContractLogs(root, "good"), plan, Path(scratch))


def planted(root: Path, names: Iterable[str]) -> CheckReport:
    write_good(root)
    plan = PLAN
    for name in sorted(names):
        plan = FAULTS[name].plant(root, plan) or plan
    return look(root, plan)


def speaks_of(problem: Problem, fault: Fault) -> bool:
    text = f"{problem.what} | {problem.where} | {problem.example}"
    return problem.column == fault.column and all(words in text for words in fault.says)


def test_a_good_log_has_no_problem(tmp_path: Path) -> None:
    report = look(write_good(tmp_path))
    assert report.problems == []
    assert report.may_run
    assert [p.what.split(":")[0] for p in report.warnings] == ["11 test users are few"]


def test_every_fault_is_found_at_once(tmp_path: Path) -> None:
    report = planted(tmp_path, FAULTS)
    for name, fault in FAULTS.items():
        assert sum(speaks_of(p, fault) for p in report.problems) == 1, (name, report.problems)
    assert all(p.what and p.where and p.remedy and p.example for p in report.problems)
    assert len(report.problems) == len(FAULTS)
    assert not report.may_run


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sets(st.sampled_from(sorted(FAULTS))))
def test_exactly_the_planted_faults_are_reported(names: set[str]) -> None:
    with tempfile.TemporaryDirectory() as root:
        report = planted(Path(root), names)
    found = [name for p in report.problems for name, fault in FAULTS.items() if speaks_of(p, fault)]
    assert sorted(found) == sorted(names)
    assert len(report.problems) == len(names), report.problems


def assert_pipelines_own(report: CheckReport, plan: CheckPlan, lake: Lake) -> None:
    """Every count of a split equals what the pipeline's own functions make of the lake of a real ingest."""
    assert report.splits and report.day
    timeline, mine = Timeline(report.day.as_of, plan.timeline), plan.splits
    contexts = build_contexts(lake, timeline.as_of, mine.contexts)
    eligible = contexts.take(eligible_users(contexts, mine.min_conversions))
    labels = test_labels(lake, timeline)
    test = report.splits.test
    assert (test.active_users, test.eligible_users) == (len(contexts), len(eligible))
    assert (test.labelled_users, test.eligible_labelled) == (len(labels), len(with_context(labels, eligible)))
    with lake.connect(as_of=timeline.as_of) as con:
        assert test.catalogue == len(build_catalogue(con, timeline.as_of, min_users=mine.min_users))
    examples = build_training_examples(lake, timeline, mine.contexts, min_users=mine.min_users)
    found = report.splits.training
    assert (found.users, found.targets) == (len(examples.contexts), len(examples.targets))
    assert found.users_with_target == examples.targets["user"].nunique()
    assert found.advertisers_with_target == examples.targets["advertiser_id"].nunique()
    assert found.catalogue == len(examples.catalogue)
    rows = ranker_rows(
        lake, timeline, negatives=mine.negatives, rng=np.random.default_rng(1), splits=("train", "calibration")
    )
    for split, name in zip(report.splits.ranker, ("train", "calibration"), strict=True):
        true = rows[rows["split"] == name]
        assert (split.positives, split.users) == (true["label"].sum(), true["user_id"].nunique())
        if report.splits.has_impressions:
            assert split.rows == len(true)
        else:
            assert split.rows >= len(true)


def test_numbers_are_those_of_a_real_ingest(tmp_path: Path) -> None:
    report = planted(tmp_path / "logs", ["type", "allowed", "key", "reference"])
    lake = Lake(tmp_path / "lake")
    true = ingest(ContractLogs(tmp_path / "logs", "good"), report.window, lake, tmp_path / "quarantine", sparse=False)  # type: ignore[arg-type]
    assert report.ingest and report.ingest.tables == true.tables
    counted = {(fault.table, fault.reason): fault.rows for fault in report.faults}
    assert counted == {(name, reason): n for name, table in true.tables.items() for reason, n in table.reasons.items()}
    assert_pipelines_own(report, PLAN, lake)


def test_numbers_of_the_purchases_sample(tmp_path: Path) -> None:
    source = PurchaseLogs(SAMPLE, load_mapping(AMAZON14))
    lengths = TimelineSettings(
        label_window_days=91, outcome_days=0, ranker_days=68, calibration_days=23, snapshot_every_days=91
    )
    active = ContextSettings(active_days=36_500)
    splits = replace(PLAN.splits, contexts=active, min_users=20, min_conversions=3, max_users=300, negatives=20)
    plan = replace(PLAN, timeline=lengths, splits=splits, limits=replace(PLAN.limits, sparse=True), days_only=True)
    report = check(source, plan, tmp_path)
    assert report.problems == []
    assert any("sampled negatives" in note for note in report.notes)
    assert_pipelines_own(report, plan, Lake(tmp_path / "lake"))
    assert report.splits and report.splits.test.scored_users == 300
