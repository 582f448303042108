"""The model of all targets: labels by construction at the edge of each window, and the score by its formulas."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.lake import Lake
from ml.ranking.impressions import ranker_rows
from ml.ranking.model import RankingModel, train_model
from ml.ranking.score import NO_BID, ScoreSettings, final_score, formula, usual_bids
from ml.ranking.settings import RankerSettings
from ml.ranking.targets import (
    CLICK,
    CLICK_CONVERSION,
    CONVERSION,
    LABELS,
    TARGETS,
    VIEW_CONVERSION,
    AttributionSettings,
)
from ml.timeline import Timeline, TimelineSettings
from tests.unit.ranking.test_ranking_rows import lake_of, registers

FIRST = date(2024, 1, 1)
TIMELINE = Timeline(
    date(2024, 1, 25),
    TimelineSettings(label_window_days=5, outcome_days=5, ranker_days=6, calibration_days=3, snapshot_every_days=3),
)
WINDOWS = AttributionSettings(click_days=1, click_through_days=3, view_through_days=2)
SECOND = timedelta(seconds=1)
CASES = {
    # name: (click after, conversion after, attribution) -> (label, clicked, click_converted, view_converted)
    "nothing": ((None, None, None), (0, 0, 0, 0)),
    "click": ((timedelta(days=1), None, None), (0, 1, 0, 0)),
    "late_click": ((timedelta(days=1) + SECOND, None, None), (0, 0, 0, 0)),
    "through_click": ((SECOND, timedelta(days=3), "click"), (1, 1, 1, 0)),
    "too_late_for_the_click": ((SECOND, timedelta(days=3) + SECOND, "click"), (0, 1, 0, 0)),
    "through_view": ((None, timedelta(days=2), "view"), (1, 0, 0, 1)),
    "too_late_for_the_view": ((None, timedelta(days=2) + SECOND, "view"), (0, 0, 0, 0)),
    "unlogged_click": ((None, timedelta(days=1), "click"), (1, 0, 0, 0)),
}


def impressions(root: Path, bid: float | None = None) -> Lake:
    """Every case on every day from Jan 2 on, at 9 o'clock."""
    tables = registers({"u": True}) | {"impressions": [], "clicks": [], "conversions": []}
    for day in (FIRST + timedelta(days=k) for k in range(1, 24)):
        for number, (name, ((click, conversion, attribution), _)) in enumerate(CASES.items()):
            shown = datetime(day.year, day.month, day.day, 9)
            key = f"{day}/{name}"
            tables["impressions"].append(
                {"impression_id": key, "request_id": key, "user_id": "u", "ad_id": f"ad{number % 2}", "surface": "home"}
                | {"position": 0, "event_time": shown, "bid": bid and bid + number % 2, "_day": day}
            )
            if click:
                at = shown + click
                tables["clicks"].append({"click_id": key, "impression_id": key, "event_time": at, "_day": at.date()})
            if conversion:
                at = shown + conversion
                tables["conversions"].append(
                    {"conversion_id": key, "user_id": "u", "advertiser_id": "a", "ad_id": "ad0", "kind": "buy"}
                    | {"event_time": at, "impression_id": key, "attribution": attribution, "_day": at.date()}
                )
    return lake_of(root, tables)


def test_labels_of_every_target_at_the_edge_of_their_windows(tmp_path):
    rows = ranker_rows(
        impressions(tmp_path), TIMELINE, negatives=1, rng=np.random.default_rng(0), attribution=WINDOWS,
        splits=("train", "calibration"),
    )  # fmt: skip
    found = rows.groupby(rows["row_id"].str.partition("/")[2])[["label", *LABELS]].agg(["min", "max"])
    for name, (_, expected) in CASES.items():
        assert found.loc[name].tolist() == [value for value in expected for _ in range(2)], name
    both = rows["click_converted"] + rows["view_converted"]
    assert (both <= rows["label"]).all()
    assert set(rows.loc[TARGETS[CLICK_CONVERSION].among(rows), "clicked"]) == {1}
    assert set(rows.loc[TARGETS[VIEW_CONVERSION].among(rows), "clicked"]) == {0}


@pytest.fixture(scope="module")
def trained() -> tuple[RankingModel, pd.DataFrame, pd.DataFrame]:
    """Rows with known chances: click .2, conversion after a click .5, after a view .05."""
    rng = np.random.default_rng(0)
    n = 12_000
    rows = pd.DataFrame({"clicked": (rng.random(n) < 0.2).astype(int)})
    converted = rng.random(n) < np.where(rows["clicked"] == 1, 0.5, 0.05)
    rows = rows.assign(
        label=converted.astype(int),
        click_converted=(converted & (rows["clicked"] == 1)).astype(int),
        view_converted=(converted & (rows["clicked"] == 0)).astype(int),
        user_id=[f"u{i % 300}" for i in range(n)],
        day=[FIRST + timedelta(days=10 * i // n) for i in range(n)],
        prior_day=FIRST, surface="home", split=np.where(np.arange(n) < 0.7 * n, "train", "calibration"),
    )  # fmt: skip
    features = pd.DataFrame({"x": rng.random(n).astype(np.float32)})
    return train_model(features, rows, RankerSettings(threads=1, rounds=10), seed=1), features, rows


def test_every_target_forecasts_its_own_chance(trained):
    model, features, _ = trained
    found = {target: p.mean() for target, p in model.predict(features).items()}
    assert found[CLICK] == pytest.approx(0.2, rel=0.1) and found[CLICK_CONVERSION] == pytest.approx(0.5, rel=0.1)
    assert found[VIEW_CONVERSION] == pytest.approx(0.05, rel=0.2)
    composed = found[CLICK] * found[CLICK_CONVERSION] + (1 - found[CLICK]) * found[VIEW_CONVERSION]
    assert found[CONVERSION] == pytest.approx(composed, rel=0.1)


def test_a_saved_model_says_the_same_and_why_a_target_is_missing(trained, tmp_path):
    model, features, rows = trained
    model.save(tmp_path / "all")
    again = RankingModel.load(tmp_path / "all")
    for target, p in model.predict(features).items():
        assert (again.predict(features)[target] == p).all(), target
    assert again.formula == "1000 * bid * pCTR * (1 + 5 * pCVR_click)" and not again.missing
    unclicked = rows.assign(clicked=0, click_converted=0)
    few = train_model(features, unclicked, RankerSettings(threads=1, rounds=5), seed=1)
    assert set(few.rankers) == {CONVERSION, VIEW_CONVERSION}
    assert few.missing[CLICK].startswith("0 of") and few.formula == "1000 * bid * P(conversion | impression)"
    compared = train_model(features, rows, RankerSettings(threads=1, rounds=5), seed=1, targets=[CLICK])
    assert set(compared.rankers) == {CONVERSION, CLICK}
    assert set(compared.missing.values()) == {"not asked for"}
    bought = train_model(features, unclicked.assign(surface=None), RankerSettings(threads=1, rounds=5), seed=1)
    assert set(bought.rankers) == {CONVERSION} and "no impressions" in bought.missing[CLICK]


def test_scores_by_hand():
    probability = {
        CLICK: np.array([0.02, 0.01]),
        CLICK_CONVERSION: np.array([0.1, 0.4]),
        CONVERSION: np.array([0.3, 0.2]),
    }
    bid = np.array([0.5, 1.0])
    clicks, plain, orders = ScoreSettings(), ScoreSettings(value_weight=0), ScoreSettings(bid_pays_for="conversion")
    assert final_score(probability, bid, clicks) == pytest.approx([15, 30])
    assert final_score(probability, bid, plain) == pytest.approx([10, 10])
    assert final_score(probability, bid, orders) == pytest.approx([150, 200])
    assert formula(plain, probability) == "1000 * bid * pCTR"


def test_the_usual_bid_is_the_ads_then_its_advertisers_then_everyones(tmp_path):
    bids = usual_bids(impressions(tmp_path / "bids", bid=2.0), date(2024, 1, 20))
    assert bids[["ad0", "ad1", "ad2"]].tolist() == pytest.approx([2.0, 3.0, 2.5])
    assert set(usual_bids(impressions(tmp_path / "none"), date(2024, 1, 20))) == {NO_BID}
