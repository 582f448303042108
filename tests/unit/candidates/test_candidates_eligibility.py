"""Eligibility: nobody gets an ad that a rule bars, everybody else all the others, and every reason is kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.candidates.day import candidates_of_day
from ml.candidates.eligibility import Rules
from ml.candidates.index import index_of_day
from ml.candidates.settings import EligibilitySettings
from ml.candidates.table import COLUMNS, REMOVED
from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.errors import BadInput
from ml.llm.interests import COLUMNS as INTERESTS
from tests.unit.candidates.candidate_lakes import DAY, SMALL

USERS = np.array(["loner", "u000", "u001", "u002"], dtype=object)


def day_under(lake, towers, tmp_path, *, budgets=None, exclusions=None):
    """A day's candidates and removed ones under the rules given as rows."""
    rules = {}
    for name, rows in (("budgets", budgets), ("exclusions", exclusions)):
        if rows is not None:
            pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
            rules[name] = tmp_path / f"{name}.csv"
    settings = SMALL.model_copy(update={"eligibility": EligibilitySettings(**rules)})
    retrieval, removed = index_of_day(towers, lake, build_contexts(lake, DAY, ContextSettings()), settings)
    predictions = pd.DataFrame(
        [(user, f"adv{k}", k + 1, 0.2) for user in USERS for k in range(4)],
        columns=["user_id", "advertiser_id", "rank", "probability"],
    )
    nobody = pd.DataFrame(columns=INTERESTS)
    return candidates_of_day(retrieval, removed, predictions, nobody, USERS, settings, quota=0.5)


def test_without_rules_only_the_registers_remove(lake, towers, tmp_path):
    day = day_under(lake, towers, tmp_path)
    assert list(day.candidates.columns) == list(COLUMNS) and list(day.removed.columns) == list(REMOVED)
    assert day.metrics["removed_ads"] == {"advertiser ended": 5, "advertiser not started": 1}
    assert day.metrics["removed_candidates"] == {}
    assert set(day.removed["advertiser_id"]) == {"adv7", "later"}


def test_exhausted_budgets_are_honoured(lake, towers, tmp_path):
    """Half a dollar an impression: adv0 has spent more than 1, adv1 not a million; adv2 nothing since its first day."""
    budgets = [
        {"advertiser_id": "adv0", "budget": 1, "from_day": None},
        {"advertiser_id": "adv1", "budget": 1e6, "from_day": None},
        {"advertiser_id": "adv2", "budget": 1, "from_day": "2024-03-12"},
    ]
    day = day_under(lake, towers, tmp_path, budgets=budgets)
    assert "adv0" not in set(day.candidates["advertiser_id"])
    assert {"adv1", "adv2"} <= set(day.candidates["advertiser_id"])
    assert day.metrics["removed_ads"]["budget exhausted"] == 6  # five ads and `cold`
    with lake.connect(as_of=DAY) as con:
        spent = con.execute(
            "SELECT sum(price_paid) FROM impressions JOIN ads USING (ad_id) WHERE advertiser_id = 'adv3'"
        ).fetchall()[0][0]
    for budget, gone in ((spent, True), (spent + 0.01, False)):
        exact = day_under(lake, towers, tmp_path, budgets=[{"advertiser_id": "adv3", "budget": budget}])
        assert ("budget exhausted" in exact.metrics["removed_ads"]) == gone


def test_exclusions_of_users_and_verticals_are_honoured_and_slots_filled_again(lake, towers, tmp_path):
    exclusions = [
        {"user_id": "u000", "category": "tents", "reason": "opted out"},
        {"user_id": "u001", "vertical": "V1", "advertiser_id": "adv1", "reason": None},
        {"user_id": "loner", "advertiser_id": "adv2", "reason": "complaint"},
        {"user_id": None, "vertical": "V3", "reason": "law"},
    ]
    free, day = day_under(lake, towers, tmp_path), day_under(lake, towers, tmp_path, exclusions=exclusions)
    made = day.candidates.merge(lake.connect().execute("SELECT ad_id, category FROM ads").df())
    assert "tents" not in set(made.loc[made["user_id"] == "u000", "category"])
    assert not ((made["user_id"] == "u001") & (made["advertiser_id"] == "adv1")).any()
    assert not ((made["user_id"] == "loner") & (made["advertiser_id"] == "adv2")).any()
    assert "adv3" not in set(made["advertiser_id"])
    assert (made.groupby("user_id").size() == SMALL.budget).all()
    # What each lost is there, with the reason and who had proposed it; adv2 is fine for the others.
    lost = day.removed[day.removed["user_id"].notna()]
    assert set(lost["user_id"]) <= {"u000", "u001", "loner"}
    assert set(lost.loc[lost["user_id"] == "u000", "reason"]) == {"excluded: opted out"}
    assert set(lost.loc[lost["user_id"] == "u001", "reason"]) == {"excluded"}
    assert lost["generators"].notna().all()
    before = free.candidates.query("user_id == 'u001' and advertiser_id == 'adv1'")["ad_id"]
    assert set(before) <= set(lost.loc[lost["user_id"] == "u001", "ad_id"])
    assert day.metrics["removed_ads"]["excluded: law"] == 5
    assert (day.candidates["advertiser_id"] == "adv2").any()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("budgets", "advertiser_id\nadv0\n", "no column budget"),
        ("budgets", "advertiser_id,budget\nadv0,-1\n", "negative"),
        ("budgets", "advertiser_id,budget\nadv0,1\nadv0,2\n", "twice"),
        ("exclusions", "user_id,reason\nu1,why\n", "would bar everything"),
        ("exclusions", None, "no such file"),
    ],
)
def test_bad_files_are_refused(tmp_path, name, text, said):
    path = tmp_path / "rules.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput, match=said):
        Rules.read(EligibilitySettings(**{name: path}))
