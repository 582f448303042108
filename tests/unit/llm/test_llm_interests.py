"""The interests head: learns what the stream says, is saved with the checkpoint, and leaves rare interests alone."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_worlds import TINY, VERTICALS, Trained, last_search_world
from safetensors.torch import load_file, save_file

from ml.llm.checkpoint import INTERESTS
from ml.llm.incremental import score_changed
from ml.llm.interests import InterestHead, read_interests, top_interests, violations
from ml.llm.predictor import LLMPredictor
from ml.llm.reload import ALLOWED, largest_difference
from ml.llm.train import train


def test_it_learns_the_interest_of_the_last_search(trained: Trained) -> None:
    metrics = trained.result.metrics
    assert metrics["validation_interest_recall@5"] > metrics["popularity_interest_recall@5"] + 0.1
    examples, predictor = trained.examples, trained.predictor
    hidden = predictor.hidden_states_at(
        examples.contexts, examples.targets["user"].to_numpy(), examples.targets["position"].to_numpy()
    )
    names = np.array(sorted(VERTICALS))
    probabilities = predictor.interest_distribution(hidden)
    assert probabilities.shape == (len(hidden), len(names))
    assert (names[probabilities.argmax(axis=1)] == examples.targets["interest"].to_numpy()).mean() > 0.35


def test_a_reloaded_head_says_the_same_and_reaches_the_shards(
    trained: Trained, tiny_base: Path, tmp_path: Path
) -> None:
    again = LLMPredictor.load(trained.checkpoint, tiny_base, model_version="v1", settings=TINY)
    some = trained.examples.contexts.take(np.arange(30))
    hidden = trained.predictor.hidden_states(some)
    table = trained.predictor.interests(hidden, some)
    pd.testing.assert_frame_equal(table, again.interests(hidden, some))
    score_changed(again, some, 3, tmp_path, shards=3)
    stored = read_interests(tmp_path)
    assert violations(stored) == []
    assert set(stored["user_id"]) == set(some.user_ids)
    assert stored.groupby("user_id").size().eq(TINY.top_interests).all()


def test_the_check_of_reloading_looks_at_interests_too(trained: Trained, tiny_base: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(trained.checkpoint, spoilt)
    assert largest_difference(spoilt, tiny_base, TINY)[0] <= ALLOWED
    tensors = load_file(spoilt / INTERESTS)
    save_file({**tensors, "interest_bias": tensors["interest_bias"].flip(0) + torch.arange(8)}, spoilt / INTERESTS)
    assert largest_difference(spoilt, tiny_base, TINY)[0] > ALLOWED


def test_too_sure_a_head_is_cooled_down() -> None:
    """Half of the targets follow the state: a head that takes it for certain is asked to be less so."""
    rng = np.random.default_rng(0)
    hidden = np.eye(4, dtype=np.float32)[told := rng.integers(4, size=4000)]
    column = np.where(rng.random(4000) < 0.5, told, rng.integers(4, size=4000))
    head = InterestHead.start(pd.Series(list("abcd") * 20), np.zeros(4, dtype=np.float32))
    head.tensors["interest_weight"] = torch.eye(4)
    metrics = head.judge(hidden, np.where(np.arange(4000) < 100, -1, column))
    assert metrics["validation_interest_recall@5"] == 1.0, "five of four interests are all"
    assert head.probabilities(hidden).max(axis=1).mean() == pytest.approx(0.5 + 0.5 / 4, abs=0.02)
    assert head.judge(hidden, np.full(4000, -1)) == {}


def test_without_weight_there_are_none(tiny_base: Path, tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"train_tokens": 2_000, "interest_weight": 0})
    (tmp_path / "work").mkdir()
    examples = last_search_world(60)
    assert (
        "validation_interest_recall@5"
        not in train(examples, tiny_base, settings, seed=0, work=tmp_path / "work").metrics
    )
    predictor = LLMPredictor.load(tmp_path / "work", tiny_base, model_version="v", settings=settings)
    score_changed(predictor, examples.contexts, 3, tmp_path, shards=2)
    assert read_interests(tmp_path).empty


def test_rare_and_missing_interests_take_no_part() -> None:
    interest = pd.Series(["shoes"] * 12 + ["hats"] * 3 + [None] * 5 + ["bags"] * 20)
    head = InterestHead.start(interest, np.zeros(8, dtype=np.float32))
    assert head.names == ["bags", "shoes"]
    column = head.columns(interest)
    assert list(column) == [1] * 12 + [-1] * 8 + [0] * 20
    hidden = torch.randn(40, 8, requires_grad=True)
    expected = -torch.log_softmax(head.tensors["interest_bias"], 0)[torch.from_numpy(column[column >= 0])].mean()
    assert head.loss(hidden, column).item() == pytest.approx(float(expected), rel=1e-5)
    assert head.loss(hidden, np.full(40, -1)).item() == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 9))
def test_the_table_of_any_distribution_is_sound(seed: int, interests: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(interests, 0.3), 6)
    names = [f"i{n}" for n in range(interests)]
    table = top_interests(probabilities, names, np.array([f"u{n}" for n in range(6)]), date(2026, 1, 1), "v", k)
    assert violations(table) == []
    assert len(table) == 6 * min(k, interests)
    if len(table) > 6:
        assert violations(table.assign(rank=table["rank"] + 1))
        assert violations(table.assign(probability=table["probability"][::-1].to_numpy() + 0.5))
    assert violations(table.assign(interest=None))
    assert violations(table.assign(probability=-table["probability"]))
