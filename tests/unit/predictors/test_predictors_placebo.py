"""placebo: a shuffle that keeps every row and no user."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.predictors.placebo import placebo
from ml.predictors.predictions import from_probabilities, violations
from ml.predictors.repeat_last import RepeatLast
from tests.contracts.predictor_contract import build_examples, catalogue, habit_world

IDS = catalogue()["advertiser_id"].to_numpy()


def marked(contexts):  # type: ignore[no-untyped-def]
    """Predictions whose probability tells whose they were: user i gets (i + 1) / 1000 on rank 1."""
    probabilities = np.zeros((len(contexts), len(IDS)))
    probabilities[:, 4] = (np.arange(len(contexts)) + 1) / 1000
    return from_probabilities(
        probabilities, user_ids=contexts.user_ids, advertiser_ids=IDS, day=contexts.as_of, source="llm",
        model_version="v", k=2,
    )  # fmt: skip


def origins(table: pd.DataFrame) -> np.ndarray:
    return np.round(table.loc[table["rank"] == 1, "probability"].to_numpy() * 1000).astype(int) - 1


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_a_permutation_without_fixed_points(lengths: list[int], seed: int) -> None:
    contexts = build_examples([[0] * n for n in lengths]).contexts
    table = placebo(marked(contexts), contexts, np.random.default_rng(seed))
    assert violations(table, set(IDS)) == []
    assert set(table["source"]) == {"placebo"}
    origin = origins(table)
    assert sorted(origin) == list(range(len(lengths)))
    assert (origin != np.arange(len(lengths))).all()


def test_history_lengths_stay_together() -> None:
    lengths = np.array([0, 1, 2, 4, 8] * 6)
    # Even users only: build_examples gives odd ones an extra conversion outside the catalogue.
    contexts = build_examples([[0] * n for n in np.repeat(lengths, 2)]).contexts.take(np.arange(0, 60, 2))
    origin = origins(placebo(marked(contexts), contexts, np.random.default_rng(0)))
    np.testing.assert_array_equal(lengths[origin], lengths)


def test_same_seed_same_bytes_other_seed_another_shuffle() -> None:
    contexts = build_examples([[1]] * 30).contexts
    one, two, other = (placebo(marked(contexts), contexts, np.random.default_rng(seed)) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)


def test_it_knows_nothing_of_the_user() -> None:
    """In the world of habit the source finds nearly every target, its placebo no more than chance."""
    examples, following = habit_world(400, np.random.default_rng(5))
    source = RepeatLast().fit(examples).predict(examples.contexts, 1)
    shuffled = placebo(source, examples.contexts, np.random.default_rng(0))
    hits = [(table["advertiser_id"].to_numpy() == IDS[following]).mean() for table in (source, shuffled)]
    assert hits[0] > 0.8
    assert hits[1] < 0.12


def test_what_cannot_be_shuffled_is_refused() -> None:
    contexts = build_examples([[1], [2]]).contexts
    table, rng = marked(contexts), np.random.default_rng(0)
    with pytest.raises(BadInput, match="single user"):
        placebo(table[table["user_id"] == "u0000"], contexts, rng)
    with pytest.raises(BadInput, match="days"):
        placebo(table.assign(day=contexts.as_of - timedelta(days=1)), contexts, rng)
    with pytest.raises(BadInput, match="without context"):
        placebo(table.assign(user_id=table["user_id"] + "x"), contexts, rng)
    with pytest.raises(BadInput, match="sources"):
        placebo(pd.concat([table, table.assign(source="other")]), contexts, rng)


def test_nothing_in_nothing_out() -> None:
    contexts = build_examples([[1], [2]]).contexts
    assert placebo(marked(contexts).iloc[:0], contexts, np.random.default_rng(0)).empty
