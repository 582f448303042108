"""Only users whose context has changed are read again, and nobody's predictions differ from a full run's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_worlds import Trained, catalogue

from ml.contexts.labels import stable_sample
from ml.contexts.stream import UserContexts
from ml.llm.incremental import FOLDER, _Clock, _groups, score_changed, shard_of
from ml.predictors.predictions import COLUMNS

K = 5


class Reader:
    """A predictor that notes whom it has read, and dies when told to."""

    def __init__(self, predictor, dies_after: int = 10**9) -> None:
        self.predictor, self.dies_after, self.read = predictor, dies_after, []

    def hidden_states(self, contexts: UserContexts) -> np.ndarray:
        self.read += list(contexts.user_ids)
        if len(self.read) > self.dies_after:
            raise KeyboardInterrupt
        return self.predictor.hidden_states(contexts)

    def table(self, *arguments) -> pd.DataFrame:
        return self.predictor.table(*arguments)

    def interests(self, *arguments) -> pd.DataFrame:
        return self.predictor.interests(*arguments)


def day_after(contexts: UserContexts, changed: list[int]) -> UserContexts:
    """The same users; those of `changed` have searched for something else last."""
    events = contexts.events.copy()
    last = contexts.offsets[1:][changed] - 1
    events.loc[last, ["kind", "text", "advertiser_id", "advertiser_name", "category"]] = [
        "search",
        "yoga mat",
        None,
        None,
        None,
    ]
    return replace(contexts, events=events)


def same(found: pd.DataFrame, expected: pd.DataFrame) -> bool:
    key = ["user_id", "rank"]
    one, other = (t.sort_values(key, ignore_index=True) for t in (found, expected))
    columns = [name for name in COLUMNS if name != "probability"]
    return one[columns].equals(other[columns]) and np.allclose(one["probability"], other["probability"], atol=1e-5)


@pytest.fixture
def contexts(trained: Trained) -> UserContexts:
    return trained.examples.contexts.take(np.arange(60))


def test_the_first_day_reads_everyone_and_equals_predict(trained, contexts, tmp_path):
    scored = score_changed(trained.predictor, contexts, K, tmp_path, shards=4)
    assert sorted(scored.read) == sorted(contexts.user_ids)
    assert same(scored.predictions, trained.predictor.predict(contexts, K))


@pytest.mark.parametrize("shards", [4, 7])
def test_the_next_day_reads_only_whose_context_changed(trained, contexts, tmp_path, shards):
    score_changed(trained.predictor, contexts, K, tmp_path / "one", shards=4)
    changed, newcomers = [3, 17, 41], trained.examples.contexts.take(np.arange(2, 66))
    later = day_after(newcomers, changed)
    reader = Reader(trained.predictor)
    scored = score_changed(reader, later, K, tmp_path / "two", shards=shards, earlier=tmp_path / "one")
    expected = {*newcomers.user_ids[changed], *newcomers.user_ids[-6:]}
    assert set(reader.read) == expected == set(scored.read)
    assert same(scored.predictions, trained.predictor.predict(later, K))


def test_a_changed_catalogue_reads_nobody(trained, contexts, tmp_path):
    score_changed(trained.predictor, contexts, K, tmp_path / "one", shards=4)
    fewer = trained.predictor.with_catalogue(catalogue(6))
    scored = score_changed(reader := Reader(fewer), contexts, K, tmp_path / "two", shards=4, earlier=tmp_path / "one")
    assert reader.read == [] and len(scored.read) == 0
    assert same(scored.predictions, fewer.predict(contexts, K))


def test_states_pass_from_day_to_day(trained, contexts, tmp_path):
    """A user read once and quiet since is not read on the third day either."""
    for before, day in ((None, "one"), ("one", "two"), ("two", "three")):
        reader = Reader(trained.predictor)
        earlier = tmp_path / before if before else None
        score_changed(reader, contexts, K, tmp_path / day, shards=3, earlier=earlier)
    assert reader.read == []


def test_a_killed_run_repeats_no_finished_shard(trained, contexts, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        score_changed(Reader(trained.predictor, dies_after=30), contexts, K, tmp_path, shards=6)
    finished = {path.name for path in (tmp_path / FOLDER).glob("shard-*.parquet")}
    assert finished
    second = Reader(trained.predictor)
    scored = score_changed(second, contexts, K, tmp_path, shards=6)
    mine = {f"shard-{shard:03d}.parquet" for shard in shard_of(np.array(second.read), 6)}
    assert not finished & mine
    assert same(scored.predictions, trained.predictor.predict(contexts, K))
    assert sorted(scored.read) == sorted(contexts.user_ids), (
        "users of finished shards were read, too: by the killed run"
    )


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = ["tests/unit/llm"]
import numpy as np
from llm_worlds import TINY, last_search_world
from ml.llm.incremental import score_changed
from ml.llm.predictor import LLMPredictor

checkpoint, base, work = map(Path, sys.argv[1:])
predictor = LLMPredictor.load(checkpoint, base, model_version="v1", settings=TINY)
read = predictor.read
calls = []

def killed(layout, progress):
    calls.append(len(layout.prompts))
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(layout, progress)

predictor.read = killed
score_changed(predictor, last_search_world(400).contexts.take(np.arange(60)), 5, work, shards=6)
"""


def test_kill_9_loses_the_shard_that_was_being_read(trained, contexts, tiny_base, tmp_path):
    work = tmp_path / "work"
    command = [sys.executable, "-c", KILLED, str(trained.checkpoint), str(tiny_base), str(work)]
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert done.returncode == -signal.SIGKILL
    finished = {path: path.stat().st_mtime_ns for path in (work / FOLDER).glob("shard-*.parquet")}
    assert len(finished) == 3
    reader = Reader(trained.predictor)
    scored = score_changed(reader, contexts, K, work, shards=6)
    shard = shard_of(contexts.user_ids, 6)
    kept = [int(path.stem.split("-")[1]) for path in finished]
    assert set(reader.read) == set(contexts.user_ids[~np.isin(shard, kept)])
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert same(scored.predictions, trained.predictor.predict(contexts, K))


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=80),
    st.sets(st.integers(0, 9), min_size=0),
)
def test_few_changed_users_of_many_shards_are_read_together(users, finished):
    shard, fresh = (np.array(column) for column in zip(*users, strict=True))
    missing = sorted(set(shard.tolist()) - finished)
    groups = _groups(missing, shard, fresh)
    assert [number for group in groups for number in group] == missing
    largest = np.bincount(shard).max()
    waiting = [int((fresh & np.isin(shard, group)).sum()) for group in groups]
    assert all(size <= largest for size in waiting)
    if missing and fresh[np.isin(shard, missing)].sum() <= largest:
        assert len(groups) == 1


def test_nobody_to_score(trained, contexts, tmp_path):
    scored = score_changed(trained.predictor, contexts.take(np.arange(0)), K, tmp_path, shards=3)
    assert list(scored.predictions.columns) == COLUMNS and len(scored.read) == 0


def test_shards_are_the_same_in_every_process():
    assert shard_of(np.array(["u1", "u2", "ü3"]), 16).tolist() == [6, 12, 9]


@given(st.sets(st.text(min_size=1, max_size=4), min_size=2, max_size=40), st.integers(1, 20), st.data())
def test_a_stable_sample_keeps_its_users_when_others_leave(users, most, data):
    ids = np.array(sorted(users), dtype=object)
    sample = set(ids[stable_sample(ids, most, seed=1)])
    assert len(sample) == min(most, len(ids))
    leaving = data.draw(st.sampled_from(sorted(users)))
    rest = np.array([user for user in ids if user != leaving], dtype=object)
    assert sample - {leaving} <= set(rest[stable_sample(rest, most, seed=1)])


def test_the_sample_depends_on_the_seed_only():
    ids = np.array([f"u{i}" for i in range(200)])
    one, again, other = (set(stable_sample(ids, 50, seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_the_cost_of_a_user_is_that_of_reading_one_whoever_else_was_kept(trained, contexts, tmp_path):
    first = score_changed(trained.predictor, contexts, K, tmp_path / "one", shards=4)
    again = score_changed(trained.predictor, contexts, K, tmp_path / "two", shards=4, earlier=tmp_path / "one")
    assert len(again.read) == 0 and again.cpu_seconds_per_1000_users is None, "nobody was read: no figure, not 0"
    other = day_after(contexts, changed=[3, 40])
    few = score_changed(trained.predictor, other, K, tmp_path / "three", shards=4, earlier=tmp_path / "one")
    assert first.cpu_seconds_per_1000_users > 0 and few.cpu_seconds_per_1000_users > 0
    done = score_changed(trained.predictor, contexts, K, tmp_path / "one", shards=4)
    assert len(done.read) == len(contexts) and done.cpu_seconds_per_1000_users is None, (
        "an attempt before has read them"
    )


def test_laps_are_added_by_what_was_done(monkeypatch):
    times = iter([0.0, 6.0, 7.0, 9.0])
    monkeypatch.setattr("ml.llm.incremental.time.process_time", lambda: next(times))
    clock = _Clock()
    clock.lap("read", 30)
    clock.lap("predict", 50)
    clock.lap("predict", 50)
    assert clock.per_1000_users == 1000 * (6 / 30 + 3 / 100)
