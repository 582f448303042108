"""The ranker where the truth is known: a prior that decides the label helps, a shuffled one does not."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from ml.errors import BadInput
from ml.lake import Lake
from ml.predictors.predictions import COLUMNS as PREDICTION
from ml.ranking.arms import arms
from ml.ranking.blocks import UNSCORED
from ml.ranking.calibration import EDGE, fit_calibrator
from ml.ranking.features import FEATURES_BASE
from ml.ranking.impressions import ranker_rows
from ml.ranking.priors import hidden_priors, hide_priors
from ml.ranking.ranker import Ranker, train_ranker
from ml.ranking.settings import RankerSettings
from ml.sources.contract import TABLES
from ml.timeline import Timeline, TimelineSettings, Window
from tests.lakes import arrow_schema

FAST = RankerSettings(threads=1, rounds=60, early_stopping_rounds=10)
N_USERS, N_ADVERTISERS = 250, 6
TIMELINE = Timeline(
    date(2024, 1, 25),
    TimelineSettings(label_window_days=4, outcome_days=1, ranker_days=6, calibration_days=3, snapshot_every_days=3),
)


def priors_at_random(rng: np.random.Generator) -> pd.DataFrame:
    """Each user has one likely advertiser per snapshot, drawn anew: history says nothing about it."""
    parts = []
    for day in [*TIMELINE.past_snapshots, TIMELINE.as_of]:
        order = np.argsort(rng.random((N_USERS, N_ADVERTISERS)), axis=1)[:, :3]
        frame = {"user_id": np.repeat([f"u{i:03d}" for i in range(N_USERS)], 3), "day": day, "source": "llm"}
        frame |= {"advertiser_id": [f"a{k}" for k in order.ravel()], "rank": np.tile([1, 2, 3], N_USERS)}
        parts.append(pd.DataFrame(frame | {"probability": np.tile([0.6, 0.2, 0.1], N_USERS), "model_version": "v"}))
    return pd.concat(parts, ignore_index=True)[PREDICTION]


def shuffled_users(priors: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    parts = []
    for _, mine in priors.groupby("day"):
        users = mine["user_id"].unique()
        parts.append(mine.assign(user_id=mine["user_id"].map(dict(zip(users, rng.permutation(users), strict=True)))))
    return pd.concat(parts).assign(source="placebo")


def write(lake: Lake, table: str, frame: pd.DataFrame) -> None:
    schema = arrow_schema(TABLES[table])
    missing = {name: None for name in schema.names if name not in frame.columns}
    for day, rows in frame.assign(**missing).groupby("_day"):
        lake.write_day(table, day, pa.Table.from_pandas(rows[schema.names], schema, preserve_index=False))


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """Rows of a lake in which P(conversion | impression) is the prior's probability, or 0.02 outside its list."""
    rng = np.random.default_rng(7)
    priors, lake = priors_at_random(rng), Lake(tmp_path_factory.mktemp("lake"))
    first = date(2024, 1, 1)
    users, names = [f"u{i:03d}" for i in range(N_USERS)], [f"a{k}" for k in range(N_ADVERTISERS)]
    updated = datetime(2024, 1, 1)
    write(lake, "users", pd.DataFrame({"user_id": users, "consent": True, "updated_at": updated, "_day": first}))
    advertisers = {"advertiser_id": names, "name": names, "vertical": names, "active_from": first, "_day": first}
    write(lake, "advertisers", pd.DataFrame(advertisers))
    ads = {"ad_id": [f"{a}-ad" for a in names], "advertiser_id": names, "category": "c", "_day": first}
    write(lake, "ads", pd.DataFrame(ads))
    chance = priors.set_index(["user_id", "day", "advertiser_id"])["probability"]
    shown = []
    for day in Window(TIMELINE.ranker.first, TIMELINE.test.last).days:
        prior_day = TIMELINE.snapshot_before(day)
        for user in users:
            for a in rng.choice(names, 2, replace=False):
                shown.append((user, a, day, rng.random() < chance.get((user, prior_day, a), 0.02)))
    shown = pd.DataFrame(shown, columns=["user_id", "advertiser_id", "_day", "converted"])
    shown["impression_id"] = shown["request_id"] = [f"i{i:06d}" for i in range(len(shown))]
    shown["ad_id"], shown["surface"], shown["position"] = shown["advertiser_id"] + "-ad", "home", 0
    shown["event_time"] = pd.to_datetime(shown["_day"]) + pd.Timedelta(hours=9)
    write(lake, "impressions", shown)
    converted = shown[shown["converted"]].assign(kind="buy", attribution="click", known_at=None)
    write(lake, "conversions", converted.assign(conversion_id="c" + converted["impression_id"]))
    rows = ranker_rows(lake, TIMELINE, negatives=1, rng=rng)
    features = arms(lake, rows, {"llm": priors, "placebo": shuffled_users(priors, rng)})
    return rows, features


@pytest.fixture(scope="module")
def rankers(decided) -> dict[str, Ranker]:
    rows, features = decided
    return {name: train_ranker(frame, rows, FAST, seed=1) for name, frame in features.items()}


def test_the_prior_that_decides_the_label_helps_and_the_placebo_does_not(decided, rankers):
    rows, features = decided
    test = (rows["split"] == "test").to_numpy()
    labels = rows.loc[test, "label"]
    assert test.sum() == 2 * N_USERS * 4
    auc = {name: roc_auc_score(labels, rankers[name].score(frame[test])) for name, frame in features.items()}
    # Without priors the last days' conversions still tell a little: a prior holds for three days.
    assert auc["llm"] > 0.8 > 0.65 > max(auc["none"], auc["placebo"])
    assert auc["placebo"] == pytest.approx(auc["none"], abs=0.04)
    loss = {name: log_loss(labels, rankers[name].predict(frame[test])) for name, frame in features.items()}
    assert loss["llm"] < 0.85 * min(loss["none"], loss["placebo"])
    assert loss["placebo"] == pytest.approx(loss["none"], rel=0.03)


def test_gain_names_the_prior(rankers):
    table = rankers["llm"].importance()
    assert table["feature"].iloc[0].startswith("prior_")
    assert table["share"].sum() == pytest.approx(1) and set(table["feature"]) >= set(FEATURES_BASE)
    assert not any(name.startswith("prior_") for name in rankers["none"].features)


def test_test_rows_are_not_looked_at(decided, rankers):
    rows, features = decided
    flipped = rows.assign(label=rows["label"].where(rows["split"] != "test", 1 - rows["label"]))
    again = train_ranker(features["llm"], flipped, FAST, seed=1)
    assert (again.predict(features["llm"]) == rankers["llm"].predict(features["llm"])).all()


def test_reloaded_scores_are_equal_bit_for_bit(decided, rankers, tmp_path):
    frame = decided[1]["llm"]
    rankers["llm"].save(tmp_path)
    loaded = Ranker.load(tmp_path)
    assert (loaded.predict(frame) == rankers["llm"].predict(frame)).all()
    assert loaded.calibrator == rankers["llm"].calibrator and loaded.rounds == rankers["llm"].rounds
    assert (loaded.predict(frame[frame.columns[::-1]]) == rankers["llm"].predict(frame)).all(), "columns go by name"
    with pytest.raises(BadInput, match="prior_rank"):
        loaded.predict(frame.drop(columns="prior_rank"))
    with pytest.raises(BadInput, match="no ranker"):
        Ranker.load(tmp_path / "nothing")
    about = tmp_path / "ranker.json"
    about.write_text(about.read_text().replace('"rounds"', '"rounds" ').replace('"slope": ', '"slope": 1'))
    with pytest.raises(BadInput, match="not of one version"):
        Ranker.load(tmp_path)


def test_one_class_or_lengths_that_differ_are_errors(decided):
    rows, features = decided
    with pytest.raises(BadInput, match="every train label"):
        train_ranker(features["none"], rows.assign(label=0), FAST, seed=1)
    with pytest.raises(BadInput, match="feature rows"):
        train_ranker(features["none"].iloc[1:], rows, FAST, seed=1)


def test_the_calibration_slice_is_its_own_days_and_moves_no_tree(decided, rankers):
    """The labels of the calibration rows change the calibrator and nothing else."""
    rows, features = decided
    ranker, window = rankers["none"], TIMELINE.calibration
    mine = rows["split"] == "calibration"
    assert ranker.calibrated_on == {
        "first": str(window.first), "last": str(window.last), "rows": int(mine.sum()),
        "positives": int(rows.loc[mine, "label"].sum()),
    }  # fmt: skip
    days = {split: set(part["day"]) for split, part in rows.groupby("split")}
    assert not days["train"] & days["calibration"] and not days["calibration"] & days["test"]
    flipped = rows.assign(label=np.where(mine, 1 - rows["label"], rows["label"]))
    other = train_ranker(features["none"], flipped, FAST, seed=1)
    assert (other.score(features["none"]) == ranker.score(features["none"])).all()
    assert other.calibrator != ranker.calibrator


def test_a_ranker_that_saw_rows_without_priors_does_without_them(decided, rankers):
    """Priors decide the label here. One trained with priors only is lost without them; one that missed some is not."""
    rows, features = decided
    test = (rows["split"] == "test").to_numpy()
    labels, seen = rows.loc[test, "label"], features["llm"][test]
    hidden = seen.assign(**UNSCORED)
    loss = {}
    for share in (0.0, 0.3):
        ranker = train_ranker(features["llm"], rows, FAST.model_copy(update={"prior_dropout": share}), seed=1)
        loss[share] = log_loss(labels, ranker.predict(hidden))
        assert log_loss(labels, ranker.predict(seen)) < 0.87 * loss[share]
    without = log_loss(labels, rankers["none"].predict(features["none"][test]))
    assert loss[0.0] > 1.4 * without, "the construction must punish"
    assert loss[0.3] - without < 0.2 * (loss[0.0] - without)


def test_hidden_priors_are_those_of_whole_users_and_snapshots(decided):
    rows = decided[0]
    hidden = hidden_priors(rows, 0.25, np.random.default_rng(0))
    share = pd.Series(hidden).groupby([rows["user_id"], rows["prior_day"].astype(str)]).mean()
    assert set(share) == {0.0, 1.0} and share.mean() == pytest.approx(0.25, abs=0.05)
    matrix = np.ones((2, 3), np.float32)
    hide_priors(matrix, ["ad_age_days", "prior_rank", "prior_scored"], np.array([True, False]))
    assert matrix.tolist() == [[1, UNSCORED["prior_rank"], UNSCORED["prior_scored"]], [1, 1, 1]]


@pytest.mark.parametrize(("n", "kind"), [(150, "identity"), (4_000, "platt"), (40_000, "isotonic")])
def test_calibration_follows_the_rule_and_mends_a_miscalibrated_score(n, kind):
    """Scores are 3 x too sure and shifted; the truth is known. Calibrating brings the loss near the truth's own."""
    rng = np.random.default_rng(0)
    truth = rng.normal(-3, 1, 2 * n)
    chance = 1 / (1 + np.exp(-truth))
    labels = (rng.random(2 * n) < chance).astype(int)
    scores = 3 * truth + 4
    calibrate = fit_calibrator(scores[:n], labels[:n])
    assert calibrate.kind == kind
    raw, mended = 1 / (1 + np.exp(-scores[n:])), calibrate(scores[n:])
    best = log_loss(labels[n:], chance[n:])
    if kind == "identity":
        assert np.allclose(mended, np.clip(raw, EDGE, 1 - EDGE))
    else:
        assert log_loss(labels[n:], mended) < best * 1.02 < 0.9 * log_loss(labels[n:], np.clip(raw, EDGE, 1 - EDGE))
    order = np.argsort(scores[n:])
    assert (np.diff(mended[order]) >= 0).all()


def test_platt_finds_the_true_line_and_never_reverses_the_order():
    rng = np.random.default_rng(1)
    truth = rng.normal(-1, 2, 3_000)
    labels = (rng.random(3_000) < 1 / (1 + np.exp(-truth))).astype(int)
    keep = np.flatnonzero(np.cumsum(labels) < 900)
    fitted = fit_calibrator((truth[keep] - 1) * 2, labels[keep])
    assert (fitted.slope, fitted.intercept) == (pytest.approx(0.5, abs=0.08), pytest.approx(1, abs=0.25))
    reversed_order = fit_calibrator(-truth[keep], labels[keep])
    assert 0 < reversed_order.slope <= 1e-3
    assert reversed_order(np.zeros(1)) == pytest.approx(labels[keep].mean(), abs=0.01)
