"""Tuning finds what is right by construction, never loses to where it began, and sees the fold only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.predictors.fold import Fold
from ml.predictors.predictions import from_probabilities
from ml.predictors.registry import BASELINES, BaselineSettings
from ml.predictors.repeat_last import RepeatLastSettings
from ml.predictors.tuning import objective, tune
from tests.contracts.predictor_contract import ADVERTISERS, AS_OF, build_examples, habit_world


def fold_of(past: list[list[int]], following: list[int]) -> Fold:
    examples = build_examples(past)
    ids = examples.catalogue["advertiser_id"].to_numpy()
    labels = pd.DataFrame({"user_id": examples.contexts.user_ids, "advertiser_id": ids[following]})
    return Fold(examples, examples.contexts, labels, np.ones(len(labels), dtype=bool))


def changing_world(n: int, rng: np.random.Generator) -> Fold:
    """Users switch to another advertiser for good half-way, and go on with it: what is long past says nothing."""
    old, new = rng.integers(ADVERTISERS, size=(2, n))
    strays = rng.integers(ADVERTISERS, size=(n, 12))
    past = [[int(a)] * 12 + list(map(int, s)) + [int(b)] for a, b, s in zip(old, new, strays, strict=True)]
    return fold_of(past, [int(b) for b in new])


def test_a_short_half_life_is_found_where_the_long_past_says_nothing() -> None:
    fold = changing_world(80, np.random.default_rng(0))
    start = BaselineSettings(repeat_last=RepeatLastSettings(half_life_days=1000))
    found = tune("repeat_last", fold, start, trials=12, seed=1)
    assert found.settings.repeat_last.half_life_days < 60
    assert found.value > found.before
    assert found.settings.cooccurrence == start.cooccurrence


@pytest.mark.parametrize("name", [name for name in BASELINES if name not in ("text_linear", "sequence")])
def test_the_settings_given_are_the_first_trial_and_the_seed_decides_the_rest(name: str) -> None:
    examples, following = habit_world(60, np.random.default_rng(0))
    ids = examples.catalogue["advertiser_id"].to_numpy()
    labels = pd.DataFrame({"user_id": examples.contexts.user_ids, "advertiser_id": ids[following]})
    fold = Fold(examples, examples.contexts, labels, np.ones(len(labels), dtype=bool))
    given = BaselineSettings()
    one, two = (tune(name, fold, given, trials=3, seed=5) for _ in range(2))
    pd.testing.assert_frame_equal(one.trials.drop(columns="seconds"), two.trials.drop(columns="seconds"))
    assert one.settings == two.settings
    source = BASELINES[name].make(given).fit(examples)
    assert one.before == objective(source.probabilities(fold.contexts), fold.column)
    assert one.value == one.trials["value"].max() >= one.before
    assert len(one.trials) == 3


def test_the_objective_counts_what_is_outside_the_catalogue_as_a_miss() -> None:
    probabilities = np.tile(np.linspace(1, 0, 30), (3, 1))
    assert objective(probabilities, np.array([0, 7, -1])) == pytest.approx((1 / 3 + 2 / 3 + 2 / 3) / 3)


def test_ties_are_ranked_as_in_the_table() -> None:
    """A source that says the same of all names the first columns, and finds what lies there only."""
    flat = np.full((30, 30), 1 / 30)
    assert objective(flat, np.arange(30)) == pytest.approx((5 + 10 + 20) / 3 / 30)


def test_what_is_not_a_number_is_a_miss() -> None:
    column = np.arange(40)
    assert objective(np.full((40, 40), np.nan), column) == 0
    one_bad = np.eye(40)
    one_bad[3, 7] = np.nan
    assert objective(one_bad, column) == pytest.approx(39 / 40)


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_the_objective_is_recall_of_the_predictions_table(seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = np.round(rng.dirichlet(np.ones(30), 12), 2)  # rounded: many ties
    raw /= np.maximum(raw.sum(axis=1, keepdims=True), 1)
    column = rng.integers(-1, 30, 12)
    names, users = np.arange(30).astype(str), np.arange(12).astype(str)
    about = {"day": AS_OF, "source": "s", "model_version": "v"}
    table = from_probabilities(raw, user_ids=users, advertiser_ids=names, k=20, **about)
    hit = table[table["advertiser_id"].to_numpy() == column.astype(str)[table["user_id"].astype(int)]]
    assert objective(raw, column) == pytest.approx(np.mean([(hit["rank"] <= cut).sum() / 12 for cut in (5, 10, 20)]))
