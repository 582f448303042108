"""Fingerprints: what makes a result out of date, and what does not."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from ml.artifacts import publish, work_dir
from ml.errors import BadInput
from orchestration import plan
from orchestration.graph import NODES
from orchestration.settings import Settings
from orchestration.workspace import Workspace

DAY, LATER, EARLIER = date(2026, 4, 22), date(2026, 4, 23), date(2026, 4, 21)


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return Workspace(Settings(profile="tiny", out=tmp_path))


def with_settings(space: Workspace, **changed) -> Workspace:
    return Workspace(Settings(profile="tiny", out=space.settings.out, **changed))


def make(space: Workspace, asset: str, day: date) -> None:
    target = plan.target(space, asset, day)
    mark = plan.fingerprint(space, asset, day)
    publish(work_dir(target, mark), target, {"fingerprint": mark})


def test_nothing_is_published_at_first(space: Workspace):
    assert all(plan.published(space, name, DAY) is None for name in NODES)


def test_published_until_a_setting_that_matters_changes(space: Workspace):
    for name in NODES:
        make(space, name, DAY)
    assert all(plan.published(space, name, DAY) for name in NODES)
    slower = with_settings(space, ranker={"max_depth": 3})
    changed = {name for name in NODES if plan.published(slower, name, DAY) is None}
    assert changed == {"ranker", "evaluation", "report"}
    reseeded = with_settings(space, seed=8)
    assert all(plan.published(reseeded, name, DAY) is None for name in NODES)


def test_a_changed_file_of_budgets_makes_candidates_old(space: Workspace, tmp_path: Path):
    budgets = tmp_path / "budgets.csv"
    budgets.write_text("advertiser_id,budget\nadv0,1\n")
    ruled = with_settings(space, candidates={"eligibility": {"budgets": budgets}})
    for name in NODES:
        make(ruled, name, DAY)
    assert all(plan.published(ruled, name, DAY) for name in NODES)
    budgets.write_text("advertiser_id,budget\nadv0,2\n")
    old = {name for name in NODES if plan.published(ruled, name, DAY) is None}
    assert old == {"candidate_quota", "candidate_sets", "evaluation", "report"}, "the towers stay"


def test_a_setting_of_the_llm_does_not_touch_what_does_not_use_it(space: Workspace):
    for name in NODES:
        make(space, name, DAY)
    longer = with_settings(space, llm={**space.settings.llm.model_dump(), "epochs": 2})
    kept = {name for name in NODES if plan.published(longer, name, DAY)}
    without_llm = {"user_contexts", "training_examples", "tuned_sources", "retrieval_model"}
    assert kept == {*without_llm, "drift_reference", "drift_report"}


def test_a_model_serves_later_days_and_no_earlier_one(space: Workspace):
    make(space, "training_examples", DAY)
    make(space, "advertiser_llm", DAY)
    assert plan.target(space, "advertiser_llm", LATER) == plan.target(space, "advertiser_llm", DAY)
    assert plan.published(space, "advertiser_llm", LATER)
    assert plan.published(space, "advertiser_llm", EARLIER) is None, "it has seen the future of that day"


def test_the_newest_usable_version_serves(space: Workspace):
    make(space, "training_examples", EARLIER)
    for day in (EARLIER, DAY):
        make(space, "retrieval_model", day) if not plan.published(space, "retrieval_model", day) else None
    made = plan.recipe(space, "retrieval_model")
    newer = space.root / "models" / "retrieval_model" / f"{DAY}-{made}"
    publish(work_dir(newer, "x"), newer, {"fingerprint": newer.name})
    assert plan.target(space, "retrieval_model", LATER) == newer
    assert plan.target(space, "retrieval_model", EARLIER).name.startswith(str(EARLIER))


def test_daily_results_depend_on_the_model_version_they_used(space: Workspace):
    before = plan.fingerprint(space, "advertiser_predictions", LATER)
    make(space, "training_examples", DAY)
    make(space, "advertiser_llm", DAY)
    assert plan.fingerprint(space, "advertiser_predictions", LATER) != before


def test_new_raw_logs_make_daily_results_old_and_keep_models(space: Workspace):
    for name in NODES:
        make(space, name, DAY)
    (space.root / "lake").mkdir(parents=True)
    (space.root / "lake" / "ingested.json").write_text('{"days": {"2026-04-22": "other"}}')
    old = {name for name in NODES if plan.published(space, name, DAY) is None}
    assert {"user_contexts", "evaluation", "report", "advertiser_predictions", "candidate_sets"} <= old
    assert not {"advertiser_llm", "ranker", "training_examples"} & old


def test_a_half_finished_retraining_is_completed_by_the_next_day(space: Workspace):
    """After a retraining that stopped behind the LLM, the old ranker would meet the new LLM's priors."""
    for name in NODES:
        make(space, name, EARLIER)
    for name in ("training_examples", "advertiser_llm"):
        version = plan.new_version(space, name, DAY)
        target = space.root / "models" / name / version
        publish(work_dir(target, version), target, {"fingerprint": version})
    todo = {name for name in NODES if NODES[name].kind == "model" and plan.published(space, name, LATER) is None}
    behind = {"drift_reference", "tuned_sources", "past_predictions", "past_control_predictions", "ranker"}
    assert todo == {*behind, "retrieval_model", "candidate_quota"}


def test_later_logs_do_not_make_earlier_days_old(space: Workspace):
    (space.root / "lake").mkdir(parents=True)
    record = space.root / "lake" / "ingested.json"
    record.write_text('{"days": {"2026-04-22": "a", "2026-05-06": "a"}}')
    for name in NODES:
        make(space, name, DAY)
    record.write_text('{"days": {"2026-04-22": "a", "2026-05-06": "a", "2026-05-07": "b"}}')
    assert all(plan.published(space, name, DAY) for name in NODES), "outcomes of the day close on 2026-05-06"
    record.write_text('{"days": {"2026-04-22": "a", "2026-05-06": "other", "2026-05-07": "b"}}')
    assert {name for name in NODES if plan.published(space, name, DAY) is None} == {"evaluation", "report"}


def test_a_gap_in_the_lake_stops_what_would_be_made_of_it(space: Workspace):
    (space.root / "lake").mkdir(parents=True)
    record = space.root / "lake" / "ingested.json"
    days = [f"2026-03-{day:02d}" for day in range(1, 32)] + [f"2026-04-{day:02d}" for day in range(1, 23) if day != 9]
    record.write_text(json.dumps({"days": dict.fromkeys(days, "a")}))
    with pytest.raises(BadInput, match="2026-04-09"):
        plan.require_logs(space, "user_contexts", DAY)
    plan.require_logs(space, "advertiser_predictions", DAY)
    with pytest.raises(BadInput, match="older logs"):
        plan.require_logs(space, "training_examples", date(2026, 3, 20))
    plan.require_logs(space, "training_examples", date(2026, 3, 22))
