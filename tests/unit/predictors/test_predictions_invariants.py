"""What `from_probabilities` makes is sound, and every broken invariant is named."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.predictors.predictions import COLUMNS, from_probabilities, violations

DAY = date(2024, 1, 31)


def predictions(rng: np.random.Generator, n_users: int, n_advertisers: int, k: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Top k of random rows that sum to at most 1, with ties and zeros; and the matrix."""
    raw = np.round(rng.dirichlet(np.full(n_advertisers, 0.5), n_users) * rng.random((n_users, 1)), 2)
    raw = np.minimum(raw, raw / np.maximum(raw.sum(axis=1, keepdims=True), 1))
    made = from_probabilities(
        raw,
        user_ids=np.array([f"u{i}" for i in range(n_users)], dtype=object),
        advertiser_ids=np.array([f"a{i}" for i in range(n_advertisers)], dtype=object),
        day=DAY,
        source="popularity",
        model_version="1",
        k=k,
    )
    return made, raw


@given(st.integers(0, 2**32), st.integers(0, 6), st.integers(1, 8), st.integers(1, 10))
@settings(max_examples=50, deadline=None)
def test_the_top_k_of_any_matrix_is_sound(seed, n_users, n_advertisers, k):
    made, raw = predictions(np.random.default_rng(seed), n_users, n_advertisers, k)
    assert violations(made, {f"a{i}" for i in range(n_advertisers)}) == []
    assert made.columns.tolist() == COLUMNS
    assert len(made) == n_users * min(k, n_advertisers)
    for user, mine in made.groupby("user_id"):
        row = raw[int(user[1:])]
        assert mine["probability"].tolist() == sorted(row, reverse=True)[:k]
        assert [row[int(a[1:])] for a in mine["advertiser_id"]] == mine["probability"].tolist()
        assert mine["rank"].tolist() == list(range(1, len(mine) + 1))


def test_ties_go_to_the_lower_column():
    names = np.array([f"a{i:03d}" for i in range(200)])  # many: small arrays are sorted stably by any method
    made = from_probabilities(
        np.where(np.arange(200) % 3 == 1, 0.008, 0.002)[None, :],
        user_ids=np.array(["u"]),
        advertiser_ids=names,
        day=DAY,
        source="s",
        model_version="1",
        k=200,
    )
    assert made["advertiser_id"].tolist() == [*names[1::3], *(n for i, n in enumerate(names) if i % 3 != 1)]


def sound() -> pd.DataFrame:
    rows = [("u", "a", 1, 0.5), ("u", "b", 2, 0.3), ("v", "b", 1, 0.9), ("v", "a", 2, 0.1)]
    frame = pd.DataFrame(rows, columns=["user_id", "advertiser_id", "rank", "probability"])
    return frame.assign(day=DAY, source="s", model_version="1")[COLUMNS]


def broken(column: str, *values: object) -> pd.DataFrame:
    frame = sound()
    frame[column] = list(values)
    return frame


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (sound().drop(columns="rank"), "columns missing: ['rank']"),
        (broken("probability", 0.5, None, 0.9, 0.1), "null values"),
        (broken("advertiser_id", "a", "z", "b", "a"), "advertisers outside the catalogue, such as ['z']"),
        (broken("advertiser_id", "a", "a", "b", "a"), "an advertiser twice for one user"),
        (broken("probability", 0.5, -0.1, 0.9, 0.1), "probability outside [0, 1]"),
        (broken("probability", 0.7, 0.4, 0.9, 0.1), "probabilities of a user sum to more than 1"),
        (broken("rank", 1, 3, 1, 2), "ranks are not 1..k without gaps"),
        (broken("rank", 0, 1, 1, 2), "ranks are not 1..k without gaps"),
        (broken("probability", 0.3, 0.5, 0.9, 0.1), "probability rises with rank"),
    ],
)
def test_each_broken_invariant_is_named(frame, problem):
    assert violations(sound(), {"a", "b"}) == []
    assert problem in violations(frame, {"a", "b"})


def test_order_of_rows_does_not_matter():
    assert violations(sound().iloc[[3, 0, 2, 1]], {"a", "b"}) == []


def test_days_and_sources_of_a_user_are_apart():
    both = pd.concat([sound(), sound().assign(source="other"), sound().assign(day=date(2024, 2, 1))])
    assert violations(both, {"a", "b"}) == []
