"""Shard by shard gives what one call gives, and a killed run repeats no finished shard."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.contexts.stream import TrainingExamples, UserContexts
from ml.predictors.batch import predict_in_shards, shard_of
from ml.predictors.predictions import COLUMNS, from_probabilities


class Counting:
    """Probabilities that depend on the user id alone; counts users asked for, and dies when told to."""

    name = "counting"

    def __init__(self, dies_after: int = 10_000) -> None:
        self.asked: list[str] = []
        self.dies_after = dies_after

    def fit(self, examples: TrainingExamples) -> Counting:
        return self

    def predict(self, contexts: UserContexts, k: int) -> pd.DataFrame:
        self.asked += list(contexts.user_ids)
        if len(self.asked) > self.dies_after:
            raise KeyboardInterrupt
        scores = np.array([np.random.default_rng(int(user[1:])).dirichlet(np.ones(5)) for user in contexts.user_ids])
        return from_probabilities(
            scores,
            user_ids=contexts.user_ids,
            advertiser_ids=np.array(list("abcde")),
            day=contexts.as_of,
            source=self.name,
            model_version="1",
            k=k,
        )


def contexts(n: int) -> UserContexts:
    users = pd.DataFrame({"user_id": [f"u{i:04d}" for i in range(n)]})
    events = pd.DataFrame({"user": pd.Series(dtype="int64"), "kind": pd.Series(dtype="str")})
    return UserContexts(date(2026, 3, 1), users, events, np.zeros(n + 1, dtype=np.int64))


def test_as_one_call(tmp_path: Path) -> None:
    seen: list[int] = []
    table = predict_in_shards(
        Counting(), contexts(97), 3, tmp_path, shards=8, progress=lambda done, total, unit: seen.append(done)
    )
    whole = Counting().predict(contexts(97), 3)
    pd.testing.assert_frame_equal(table, whole, check_dtype=False)
    assert seen == sorted(seen)
    assert seen[-1] == 97
    assert len(list((tmp_path / "predictions").glob("shard-*.parquet"))) == 8


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    dying = Counting(dies_after=50)
    with pytest.raises(KeyboardInterrupt):
        predict_in_shards(dying, contexts(97), 3, tmp_path, shards=8)
    finished = len(list((tmp_path / "predictions").glob("shard-*.parquet")))
    assert 0 < finished < 8
    second = Counting()
    table = predict_in_shards(second, contexts(97), 3, tmp_path, shards=8)
    done_before = {user for user in contexts(97).user_ids if user not in second.asked}
    assert set(shard_of(np.array(sorted(done_before)), 8)) == set(range(finished))
    assert list(table["user_id"].unique()) == list(contexts(97).user_ids)


def test_a_users_shard_is_his_own() -> None:
    ids = contexts(200).user_ids
    np.testing.assert_array_equal(shard_of(ids, 8)[::3], shard_of(ids[::3], 8))
    assert np.bincount(shard_of(ids, 8), minlength=8).min() > 10


def test_nobody(tmp_path: Path) -> None:
    assert list(predict_in_shards(Counting(), contexts(0), 3, tmp_path).columns) == COLUMNS
