"""dense: a table is kept to the letter, and the rest of each user's mass goes to whom the table does not name."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.predictors.dense import dense
from ml.predictors.predictions import from_probabilities

USERS, IDS = np.array(["u1", "u2", "u3"]), np.array([f"a{i}" for i in range(7)])
POPULARITY = np.arange(1.0, 8.0) / 28


def table_of(probabilities: np.ndarray, k: int) -> pd.DataFrame:
    return from_probabilities(
        probabilities, user_ids=USERS, advertiser_ids=IDS, day=date(2026, 1, 1), source="s", model_version="v", k=k
    )


@given(k=st.integers(1, 7), seed=st.integers(0, 99))
def test_what_is_in_the_table_stays_and_rows_sum_to_1(k: int, seed: int) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(7), 3)
    table = table_of(probabilities, k)
    filled = dense(table, USERS, IDS, POPULARITY)
    np.testing.assert_allclose(filled.sum(axis=1), 1)
    top = np.argsort(-probabilities, axis=1)[:, :k]
    np.testing.assert_allclose(np.take_along_axis(filled, top, 1), np.take_along_axis(probabilities, top, 1))
    others = np.argsort(-probabilities, axis=1)[:, k:]
    ratio = np.take_along_axis(filled, others, 1) / POPULARITY[others]
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones_like(ratio), err_msg="in proportion to popularity")


def test_the_whole_table_is_the_whole_matrix() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 3)
    np.testing.assert_allclose(dense(table_of(probabilities, 7), USERS, IDS), probabilities)


def test_a_user_without_rows_gets_popularity_and_other_users_are_ignored() -> None:
    table = table_of(np.full((3, 7), 1 / 7), 2)
    filled = dense(table, np.array(["u2", "stranger"]), IDS, POPULARITY)
    np.testing.assert_allclose(filled[1], POPULARITY)
    np.testing.assert_allclose(dense(table, np.array(["stranger"]), IDS), [np.full(7, 1 / 7)])


def test_unknown_advertisers_and_two_sources_are_refused() -> None:
    table = table_of(np.random.default_rng(0).dirichlet(np.ones(7), 3), 3)
    with pytest.raises(BadInput, match="advertisers such as"):
        dense(table, USERS, IDS[:2])
    with pytest.raises(BadInput, match="twice"):
        dense(pd.concat([table, table.assign(source="t")]), USERS, IDS)
