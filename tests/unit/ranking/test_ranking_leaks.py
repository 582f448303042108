"""Leaks through priors: one that had a day of future is caught, an honest one is not.

Caught means: the features of a row, its priors included, change when what became known on the row's day or later is
scrambled. Priors here are those of real predictors on real contexts, made as of the day they claim or of a later one.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.errors import TimelineViolation
from ml.lake import Lake
from ml.predictors.catalogue import build_catalogue
from ml.predictors.predictions import COLUMNS
from ml.ranking.arms import arms
from ml.ranking.priors import FEATURES_PRIOR
from tests.lakes import random_frames, scramble_future, write_lake

SNAPSHOT = date(2024, 1, 20)


def priors_of(lake: Lake, claimed: date, *, seen: date) -> pd.DataFrame:
    """What each user converted with, most often first, as known by the end of `seen`; filed under `claimed`."""
    contexts = build_contexts(lake, seen, ContextSettings())
    with lake.connect(as_of=seen) as con:
        catalogue = build_catalogue(con, seen, min_users=0)["advertiser_id"]
    bought = contexts.conversions()
    table = pd.DataFrame({"user_id": contexts.user_ids[bought["user"]], "advertiser_id": bought["advertiser_id"]})
    counted = table[table["advertiser_id"].isin(catalogue)].value_counts(sort=False).reset_index()
    counted = counted.sort_values(["user_id", "count", "advertiser_id"], ascending=[True, False, True])
    by_user = counted.groupby("user_id")["count"]
    return counted.assign(
        day=claimed, source="llm", rank=by_user.cumcount() + 1, probability=counted["count"] / by_user.transform("sum"),
        model_version="v",
    )[COLUMNS]  # fmt: skip


def rows_of(day: date) -> pd.DataFrame:
    pairs = [(f"u{u:02d}", f"a{a}") for u in range(8) for a in range(6)]
    rows = pd.DataFrame(pairs, columns=["user_id", "advertiser_id"])
    return rows.assign(ad_id="ad-" + rows["advertiser_id"] + "-0", surface="home", day=day, prior_day=SNAPSHOT)


def changed(root: Path, seed: int, *, ahead: int) -> set[str]:
    """Features of rows of the day after the snapshot that scrambling that day and later changes."""
    rng = np.random.default_rng(seed)
    frames = random_frames(rng, first=date(2024, 1, 1), n_days=30, events_per_user=40)
    rows = rows_of(SNAPSHOT + timedelta(days=1))
    found = []
    for number, version in enumerate((frames, scramble_future(frames, SNAPSHOT, rng))):
        lake = write_lake(version, root / f"{seed}-{number}")
        priors = priors_of(lake, SNAPSHOT, seen=SNAPSHOT + timedelta(days=ahead))
        found.append(arms(lake, rows, {"llm": priors})["llm"])
    different = (found[0] != found[1]).any()
    return set(different[different].index)


@pytest.mark.parametrize("seed", [0])
def test_an_honest_prior_leaks_nothing(tmp_path, seed):
    assert changed(tmp_path, seed, ahead=0) == set()


@pytest.mark.parametrize("seed", [0])
def test_a_prior_with_one_day_of_future_is_caught(tmp_path, seed):
    found = changed(tmp_path, seed, ahead=1)
    assert {"prior_probability", "prior_log_odds"} <= found <= set(FEATURES_PRIOR)


def test_a_prior_that_admits_its_day_is_refused(tmp_path):
    lake = write_lake(random_frames(np.random.default_rng(0), n_days=25), tmp_path)
    day = SNAPSHOT + timedelta(days=1)
    with pytest.raises(TimelineViolation):
        arms(lake, rows_of(day).assign(prior_day=day), {"llm": priors_of(lake, day, seen=day)})
