"""The placebo in the ranker: another user's priors must add nothing, over many shuffles, in the simulated world.

Slow: it simulates the small world and trains a model per shuffle. All arms hold popularity and activity features; a
placebo that still helped would say that priors carry something else than knowledge of the user.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.contexts.stream import UserContexts
from ml.evaluation.ranking import loss_metrics
from ml.lake import Lake
from ml.predictors.placebo import placebo
from ml.ranking.converts import train_converts
from ml.ranking.features import build_features, verticals
from ml.ranking.impressions import ranker_rows
from ml.ranking.priors import prior_features
from ml.ranking.ranker import train_ranker
from ml.ranking.settings import RankerSettings
from ml.ranking.targets import CLICK, CONVERSION, TARGETS
from ml.sources.ingest import ingest
from ml.sources.world import WorldSource
from ml.timeline import Timeline, TimelineSettings
from ml.world.settings import WorldSettings
from tests.unit.ranking.test_ranking_leaks import priors_of

SHUFFLES = 20
SMALL = 0.001
"""Of normalized entropy: 0.1 %."""


def world_lake(root: Path) -> Lake:
    source, lake = WorldSource(WorldSettings(), 7, root / "landing"), Lake(root / "lake")
    ingest(source, source.window(), lake, root / "quarantine", sparse=False)
    return lake


def normalized_entropy(probability: np.ndarray, labels: np.ndarray) -> float:
    one_user = np.zeros(len(labels), int)
    return float(loss_metrics(probability, labels, one_user)(np.ones((1, 1)))[1][0])


def shuffled(predictions: pd.DataFrame, contexts: dict[date, UserContexts], rng: np.random.Generator) -> pd.DataFrame:
    days = predictions.groupby("day")
    return pd.concat([placebo(mine, contexts[day], rng) for day, mine in days], ignore_index=True)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("target", [CONVERSION, CLICK])
def test_twenty_shuffles_move_normalized_entropy_by_less_than_a_thousandth(tmp_path, target):
    lake = world_lake(tmp_path)
    timeline = Timeline(lake.days("impressions")[-15], TimelineSettings())
    snapshots = [*timeline.past_snapshots, timeline.as_of]
    contexts = {day: build_contexts(lake, day, ContextSettings()) for day in snapshots}
    predictions = pd.concat([priors_of(lake, day, seen=day) for day in snapshots], ignore_index=True)
    settings, rng = RankerSettings(), np.random.default_rng(0)
    rows = ranker_rows(lake, timeline, negatives=1, rng=rng, users=predictions["user_id"].unique())
    base = build_features(lake, rows, converts=train_converts(lake, timeline, seed=0))
    test, of_vertical = (rows["split"] == "test").to_numpy(), verticals(lake)
    labels = TARGETS[target].labels(rows)[test]

    def entropy_of(priors: pd.DataFrame | None) -> float:
        mine = [base] if priors is None else [base, prior_features(rows, priors, of_vertical)]
        features = pd.concat(mine, axis=1)
        ranker = train_ranker(features, rows, settings, seed=0, target=target)
        return normalized_entropy(ranker.predict(features[test]), labels)

    none = entropy_of(None)
    drawn = np.array([entropy_of(shuffled(predictions, contexts, rng)) for _ in range(SHUFFLES)])
    change = (drawn - none) / none
    print(f"{target}: none {none:.5f}, placebo minus none {100 * change.mean():+.4f} %, sd {100 * change.std():.4f} %")
    assert abs(change.mean()) < SMALL
