"""The two-tower: planted structure, cold ads, cutoffs, determinism, odd sizes."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from ml.candidates.ad_retrieval import AdRetrieval
from ml.candidates.ad_tokens import age_bucket, known_ads
from ml.candidates.index import index_of_day
from ml.candidates.past import tower_scores
from ml.candidates.positives import Positives, read_positives
from ml.candidates.training import train_towers
from ml.candidates.two_tower import TwoTower
from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import UserContexts
from ml.errors import BadInput
from ml.lake import Lake
from ml.timeline import Timeline, TimelineSettings
from tests.lakes import random_frames, scramble_future, write_lake
from tests.unit.candidates.candidate_lakes import DAY, SMALL, TOPICS, TOWER


def contexts_of(lake: Lake, day=DAY) -> UserContexts:
    return build_contexts(lake, day, ContextSettings(), only_active=False)


def ads_of(lake: Lake, day=DAY) -> pd.DataFrame:
    with lake.connect(as_of=day) as con:
        return known_ads(con)


@pytest.fixture(scope="module")
def towers(lake) -> TwoTower:
    return train_towers(lake, contexts_of(lake), TOWER, seed=3)


def topic_scores(towers: TwoTower, contexts: UserContexts, ads: pd.DataFrame) -> np.ndarray:
    """Mean score of each user for the ads of each topic, (n_users, 4)."""
    scores = towers.user_vectors(contexts) @ towers.ad_vectors(ads, DAY).T
    return np.stack([scores[:, (ads["category"] == topic).to_numpy()].mean(axis=1) for topic in TOPICS], axis=1)


@pytest.mark.parametrize("objective", ["clicks", "dwell", "conversions"])
def test_planted_topics_are_found(lake, towers, objective):
    if objective != "conversions":
        settings = TOWER.model_copy(update={"objective": objective})
        towers = train_towers(lake, contexts_of(lake), settings, seed=3)
    contexts, ads = contexts_of(lake), ads_of(lake)
    own = [int(user[1:]) % 4 for user in contexts.user_ids]
    assert (topic_scores(towers, contexts, ads[ads["ad_id"].str.startswith("a")]).argmax(axis=1) == own).all()
    assert towers.quality["two_tower_log_loss"] < towers.quality["popularity_log_loss"] - 0.5


def test_a_cold_ad_is_scored_by_its_features(lake, towers):
    """`cold` nobody ever met; nor did the training know an ad that is delivered later."""
    contexts, ads = contexts_of(lake), ads_of(lake)
    unknown = ads[ads["ad_id"] == "cold"].assign(ad_id="delivered-later")
    for cold in (ads[ads["ad_id"] == "cold"], unknown):
        scores = (towers.user_vectors(contexts) @ towers.ad_vectors(cold, DAY).T)[:, 0]
        campers = np.array([int(user[1:]) % 4 == 0 for user in contexts.user_ids])
        assert scores[campers].min() > scores[~campers].max()
    moved = unknown.assign(category="coffee", title="new coffee")
    scores = (towers.user_vectors(contexts) @ towers.ad_vectors(moved, DAY).T)[:, 0]
    assert scores[campers].max() < scores[[int(user[1:]) % 4 == 1 for user in contexts.user_ids]].min()


def test_newer_events_move_a_user_without_a_training(lake, towers):
    """After DAY everybody turns to the next topic: the same towers follow."""
    later = contexts_of(lake, DAY + timedelta(days=9))
    ads = ads_of(lake)
    ads = ads[ads["ad_id"].str.startswith("a")]
    now, then = topic_scores(towers, later, ads), topic_scores(towers, contexts_of(lake), ads)
    following = np.array([(int(user[1:]) + 1) % 4 for user in later.user_ids])
    rows = np.arange(len(later))
    assert (now[rows, following] > then[rows, following]).all()


def test_a_user_read_at_a_position_is_the_user_of_that_day(lake, towers):
    """Vectors at earlier positions of a later stream equal those of the earlier one, whatever is read beside."""
    early, late = contexts_of(lake, DAY - timedelta(days=20)), contexts_of(lake)
    row = pd.Index(late.user_ids).get_indexer(pd.Index(early.user_ids))
    ends = np.diff(late.offsets)[row]
    user, position = np.concatenate([row, row]), np.concatenate([np.diff(early.offsets), ends])
    found = towers.user_vectors_at(late, user, position)
    assert np.allclose(towers.user_vectors(early), found[: len(row)], atol=1e-5)
    assert not np.allclose(found[: len(row)], found[len(row) :], atol=1e-2)


def test_the_same_seed_gives_the_same_bytes_and_loading_keeps_every_bit(lake, towers, tmp_path):
    towers.save(tmp_path / "one")
    train_towers(lake, contexts_of(lake), TOWER, seed=3).save(tmp_path / "two")
    TwoTower.load(tmp_path / "one").save(tmp_path / "three")
    for file in sorted(p.name for p in (tmp_path / "one").iterdir()):
        first = (tmp_path / "one" / file).read_bytes()
        assert first == (tmp_path / "two" / file).read_bytes() == (tmp_path / "three" / file).read_bytes(), file
    contexts, ads = contexts_of(lake), ads_of(lake)
    loaded = TwoTower.load(tmp_path / "one")
    assert (loaded.user_vectors(contexts) == towers.user_vectors(contexts)).all()
    assert (loaded.ad_vectors(ads, DAY) == towers.ad_vectors(ads, DAY)).all()
    other = train_towers(lake, contexts_of(lake), TOWER, seed=4)
    assert not np.allclose(other.user_vectors(contexts), towers.user_vectors(contexts))
    with pytest.raises(BadInput, match="no two-tower model"):
        TwoTower.load(tmp_path / "nothing")


def test_nothing_after_the_cutoff_changes_a_bit(tmp_path):
    frames = random_frames(np.random.default_rng(5), first=DAY - timedelta(days=30), n_days=40)
    past, other = write_lake(frames, tmp_path / "a"), None
    other = write_lake(scramble_future(frames, DAY, np.random.default_rng(6)), tmp_path / "b")
    found = []
    for each in (past, other):
        trained = train_towers(each, contexts_of(each), TOWER, seed=1)
        found.append((trained.user_vectors(contexts_of(each)), trained.ad_vectors(ads_of(each), DAY)))
    assert len(found[0][0]) > 3
    assert all((one == two).all() for one, two in zip(*found, strict=True))


def test_positives_are_read_before_their_day_and_weighted(lake):
    contexts, ads = contexts_of(lake), ads_of(lake)
    positives = read_positives(lake, DAY, contexts, ads, TOWER)
    times = contexts.events["time"].to_numpy().astype("datetime64[D]").astype(np.int64)
    for user, position, day in zip(positives.user, positives.position, positives.day, strict=True):
        mine = times[contexts.offsets[user] : contexts.offsets[user + 1]]
        assert (mine[:position] < day).all() and (mine[position:] >= day).all()
    assert "silent" not in contexts.user_ids and len(positives) == 120 * 12
    newest = read_positives(lake, DAY, contexts, ads, TOWER.model_copy(update={"max_positives": 7}))
    assert (newest.day == positives.day[-7:]).all()
    dwell = read_positives(lake, DAY, contexts, ads, TOWER.model_copy(update={"objective": "dwell"}))
    assert np.allclose(dwell.weight, 1)  # all stayed equally long


def test_long_dwelling_weighs_more(tmp_path):
    frames = random_frames(np.random.default_rng(1), first=DAY - timedelta(days=30), n_days=31)
    clicks = frames["clicks"]
    frames["clicks"] = clicks.assign(dwell_seconds=np.where(np.arange(len(clicks)) % 3, 100.0, 1.0))
    frames["clicks"].loc[frames["clicks"].index % 5 == 0, "dwell_seconds"] = np.nan
    lake = write_lake(frames, tmp_path)
    found = read_positives(lake, DAY, contexts_of(lake), ads_of(lake), TOWER.model_copy(update={"objective": "dwell"}))
    assert set(np.round(np.unique(found.weight) / found.weight.min(), 3)) >= {1.0}
    short, long = found.weight.min(), found.weight.max()
    assert long / short == pytest.approx(np.log(101) / np.log(2))
    assert (found.weight == 1).any()  # an unknown dwell counts like the mean


def test_scores_of_past_rows_are_those_of_the_snapshot_before(lake, towers):
    """A row's score is that of the day's own index, computed as if nothing later had ever been logged."""
    timeline = Timeline(DAY + timedelta(days=21), TimelineSettings())
    assert timeline.predictor_cutoff == DAY and timeline.past_snapshots[:2] == [DAY, DAY + timedelta(days=7)]
    days = [DAY + timedelta(days=n) for n in (1, 7, 8, 8, 1)]
    rows = pd.DataFrame({"user_id": ["u001", "u001", "u001", "nobody", "u002"], "day": days})
    rows["ad_id"] = ["a001", "a001", "a001", "a001", "unheard-of"]
    found = tower_scores(towers, lake, timeline, rows, ContextSettings())
    expected = [
        AdRetrieval.scores(index_of_day(towers, lake, contexts_of(lake, day), SMALL)[0], ["u001"], ["a001"])[0]
        for day in (DAY, DAY, DAY + timedelta(days=7))
    ]
    assert np.allclose(found[:3], expected, atol=1e-5) and np.isnan(found[3:]).all()
    assert found[0] == found[1] != found[2]
    ahead = Timeline(DAY + timedelta(days=20), TimelineSettings())
    with pytest.raises(BadInput, match="know what happened until"):
        tower_scores(towers, lake, ahead, rows, ContextSettings())


def test_one_user_and_one_ad(lake):
    contexts, ads = contexts_of(lake).take(np.array([0])), ads_of(lake).iloc[[0]].reset_index(drop=True)
    one = Positives(*(np.zeros(1, dtype=np.int64) for _ in range(3)), np.array([19_800]), np.ones(1))
    towers = TwoTower.fit(contexts, ads, one, TOWER, seed=0)
    assert np.isfinite(towers.user_vectors(contexts) @ towers.ad_vectors(ads, DAY).T).all()


def test_no_positive_is_an_error_that_names_the_setting(lake):
    contexts, ads = contexts_of(lake), ads_of(lake)
    with pytest.raises(BadInput, match=r"no conversions with a known ad"):
        TwoTower.fit(contexts, ads, Positives(*[np.empty(0, dtype=np.int64)] * 5), TOWER, seed=0)


def test_ages():
    created = np.array([np.nan, 10.0, 10.0, 10.0, -5000.0])
    assert age_bucket(created, np.array([10.0, 10.0, 11.0, 13.0, 10.0])).tolist() == [0, 1, 2, 3, 11]
