"""Stored features are those in memory, whatever the chunk; a matrix made of batches trains the same trees."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from ml.errors import BadInput
from ml.predictors.placebo import SOURCE as PLACEBO
from ml.predictors.predictions import COLUMNS
from ml.ranking import matrices
from ml.ranking.arms import arms, store_arms
from ml.ranking.blocks import BASE, USER_ADVERTISER, finish, names_of
from ml.ranking.converts import train_converts
from ml.ranking.counts import KEYS
from ml.ranking.feature_groups import group_of
from ml.ranking.features import FEATURES_BASE, FeatureSource
from ml.ranking.interests import with_interests
from ml.ranking.matrices import FrameFeatures, Selection, quantile_matrix
from ml.ranking.priors import FEATURES_PRIOR
from tests.lakes import Frames, random_frames, scramble_future, write_lake
from tests.unit.ranking.test_ranking_rows import FIRST, TIMELINE, lake_of, registers

SNAPSHOT, DAY = date(2024, 1, 14), date(2024, 1, 16)


@pytest.fixture(scope="module")
def frames() -> Frames:
    return random_frames(np.random.default_rng(3), first=date(2024, 1, 1), n_days=36, n_users=16, events_per_user=8)


def asked(n: int, rng: np.random.Generator) -> pd.DataFrame:
    advertiser = rng.integers(0, 6, n)
    return pd.DataFrame(
        {
            "user_id": [f"u{i:02d}" for i in rng.integers(0, 16, n)],
            "advertiser_id": [f"a{i}" for i in advertiser],
            "ad_id": [f"ad-a{i}-0" for i in advertiser],
            "surface": "home",
            "day": DAY,
            "prior_day": SNAPSHOT,
        }
    )


def priors(source: str, users: list[int]) -> pd.DataFrame:
    rows = [(f"u{u:02d}", SNAPSHOT, source, f"a{u % 6}", 1, 0.5 + u / 100, "v") for u in users]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_stored_arms_are_those_in_memory_in_chunks_of_any_size(frames, tmp_path):
    lake, rows = write_lake(frames, tmp_path / "lake"), asked(70, np.random.default_rng(0))
    tables = {"llm": priors("llm", [0, 1, 2]), PLACEBO: priors(PLACEBO, [5])}
    converts = train_converts(lake, TIMELINE, seed=0)
    assert converts is not None
    expected = arms(lake, rows, tables, converts)
    for chunk in (33, 1_000):
        stored = store_arms(lake, rows, tables, tmp_path / str(chunk), converts, chunk=chunk)
        assert list(stored) == list(expected)
        for arm, features in stored.items():
            assert features.names == list(expected[arm].columns) and len(features) == 70
            assert np.array_equal(np.concatenate(list(features.batches())), expected[arm].to_numpy()), arm


def test_batches_select_hide_and_train_what_one_matrix_does(monkeypatch):
    """Thousand rows in batches of 64: the same rows reach XGBoost, and trees of equal forecasts come out."""
    import xgboost

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.integers(0, 9, 1000), "prior_rank": rng.integers(1, 9, 1000)}).astype(np.float32)
    keep, hidden = rng.random(1000) < 0.5, rng.random(1000) < 0.2
    labels = (rng.random(1000) < frame["x"] / 9).to_numpy(np.float32)
    monkeypatch.setattr(matrices, "BATCH", 64)
    selection = Selection(FrameFeatures(frame), keep, labels, hidden)
    parts, y = (np.concatenate(part) for part in zip(*selection.batches(), strict=True))
    expected = frame.to_numpy().copy()
    expected[hidden, 1] = -1
    assert np.array_equal(parts, expected[keep]) and np.array_equal(y, labels[keep])
    given = xgboost.QuantileDMatrix(expected[keep], labels[keep], feature_names=list(frame.columns))
    trees = [
        xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 20)
        for data in (given, quantile_matrix(selection, threads=1))
    ]
    one, two = (booster.inplace_predict(expected) for booster in trees)
    assert np.allclose(one, two, atol=1e-6) and one.std() > 0.1
    with pytest.raises(BadInput, match="feature rows"):
        Selection(FrameFeatures(frame), keep[1:], labels[1:])


def test_every_feature_is_named_once_and_has_a_group():
    names = [*FEATURES_BASE, *FEATURES_PRIOR]
    assert len(names) == len(set(names)) and all(group_of(name) for name in names)
    assert {name for key in KEYS if key.name != "everyone" for name in key.features} <= set(names_of(BASE))


def test_a_block_of_one_row_is_a_row_of_the_block():
    raw = {name: np.arange(5.0) for name in USER_ADVERTISER.features}
    raw["user_advertiser_days_since_conversion"][2] = np.nan
    whole = finish(USER_ADVERTISER, raw)
    for row in range(5):
        assert np.array_equal(finish(USER_ADVERTISER, {name: v[[row]] for name, v in raw.items()})[0], whole[row])
    assert not np.isnan(whole).any()


def test_p_converts_learns_from_closed_windows_only(tmp_path):
    """Whatever becomes known after the predictor cutoff changes nothing; what was known before does.

    Many users with few conversions, most of them known late: one that becomes known too late would make a label.
    """
    rng = np.random.default_rng(1)
    frames = random_frames(rng, first=date(2024, 1, 1), n_days=30, n_users=50, events_per_user=4, late_share=0.8)
    cutoff = TIMELINE.predictor_cutoff
    lakes = [
        write_lake(scrambled, tmp_path / str(number))
        for number, scrambled in enumerate(
            (frames, scramble_future(frames, cutoff, rng), scramble_future(frames, date(2024, 1, 5), rng))
        )
    ]
    one, same, other = (train_converts(lake, TIMELINE, seed=0) for lake in lakes)
    assert one is not None and one == same != other
    assert one.days == ["2024-01-08", "2024-01-03"] and 0 < one.positives < one.rows


def test_p_converts_is_high_for_who_buys_and_low_for_who_looks(tmp_path):
    """u0 to u9 buy every other day, u10 to u19 only visit; the model is told nothing else."""
    tables = registers({f"u{i}": True for i in range(20)}) | {"conversions": [], "activity": []}
    for day in (FIRST + timedelta(days=k) for k in range(24)):
        for i in range(20):
            key, at = f"{day}/{i}", datetime(day.year, day.month, day.day, 8)
            event = {"user_id": f"u{i}", "advertiser_id": "a", "event_time": at, "_day": day}
            if i >= 10:
                tables["activity"].append(event | {"event_id": key, "kind": "visit"})
            elif (day.day + i) % 2:
                tables["conversions"].append(event | {"conversion_id": key, "kind": "buy", "attribution": "none"})
    lake = lake_of(tmp_path / "lake", tables)
    model = train_converts(lake, TIMELINE, seed=0)
    assert model is not None
    rows = pd.DataFrame(
        {"user_id": [f"u{i}" for i in range(20)], "ad_id": "ad0", "advertiser_id": "a", "surface": None}
    )
    found = FeatureSource(lake, model).raw(rows.assign(day=TIMELINE.as_of))["user_p_converts"]
    assert found[:10].min() > 0.8 and found[10:].max() < 0.2
    model.save(tmp_path)
    assert type(model).load(tmp_path) == model and type(model).load(tmp_path / "none") is None


def test_the_placebo_has_the_interests_of_whoever_it_speaks_for():
    llm = priors("llm", [0, 1, 2])
    shuffled = llm.assign(user_id=["u01", "u02", "u00"], source=PLACEBO)
    interests = pd.DataFrame(
        [(f"u{u:02d}", SNAPSHOT, f"c{u}", 1, 0.5, "v") for u in range(3)],
        columns=["user_id", "day", "interest", "rank", "probability", "model_version"],
    )
    found = with_interests({"llm": llm, PLACEBO: shuffled, "popularity": llm.assign(source="popularity")}, interests)
    given = found[PLACEBO].interests.set_index("user_id")["interest"].to_dict()
    assert given == {"u01": "c0", "u02": "c1", "u00": "c2"}
    assert found["llm"].interests.equals(interests) and found["popularity"].interests.empty
