"""Leave-advertisers-out: who is left out, what references say, and that a name alone finds its buyers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.contexts.stream import TrainingExamples
from ml.evaluation.left_out import (
    judge_left_out,
    leave_out,
    of_left_out,
    past_counts,
    random_of_vertical,
    text_neighbours,
)
from ml.evaluation.ranked import ranks_in_matrix
from ml.llm.base_model import fetch_base_model
from ml.llm.predictor import LLMPredictor
from ml.llm.sample import draw_sample
from ml.llm.settings import LLMSettings
from ml.llm.teacher import Teacher
from ml.llm.tokens import LineTokenizer
from tests.contracts.predictor_contract import ADVERTISERS, GROUPS, build_examples, checkerboard_world

SETTINGS = LLMSettings(
    base_model="tiny", max_prompt_tokens=160, train_tokens=60_000, adapted_layers=0.5, lora_rank=4, threads=1,
    device="cpu", dtype="float32", head_learning_rate=1e-2, advertiser_dropout=0.3, cooccurrence_share=0.3,
)  # fmt: skip


def test_no_target_of_a_left_out_advertiser_is_left_and_everything_else_is() -> None:
    examples = checkerboard_world(60, np.random.default_rng(0))[0]
    fewer, left_out = leave_out(examples, 0.25, np.random.default_rng(1))
    assert len(left_out) == 6
    assert set(left_out) <= set(examples.catalogue["advertiser_id"])
    assert not fewer.targets["advertiser_id"].isin(left_out).any()
    gone = examples.targets["advertiser_id"].isin(left_out).sum()
    assert len(fewer.targets) == len(examples.targets) - gone < len(examples.targets)
    assert fewer.catalogue is examples.catalogue
    assert fewer.contexts is examples.contexts


def test_soft_targets_do_not_tell_of_them_either(tmp_path: Path) -> None:
    base = fetch_base_model("tiny", tmp_path)
    fewer, left_out = leave_out(checkerboard_world(100, np.random.default_rng(0))[0], 0.25, np.random.default_rng(1))
    sample = draw_sample(fewer, LineTokenizer(base), SETTINGS, np.random.default_rng(0))
    says = Teacher.fit(fewer, sample.held_out).probabilities(sample.train_row)
    assert not says[:, np.isin(fewer.catalogue["advertiser_id"], left_out)].any()
    np.testing.assert_allclose(says.sum(axis=1), 1, atol=1e-5)


def test_a_random_pick_of_the_vertical_finds_its_share() -> None:
    catalogue = pd.DataFrame({"advertiser_id": list("abcdef"), "vertical": ["x", "x", "x", "x", "y", None]})
    np.testing.assert_allclose(random_of_vertical(catalogue, np.array([0, 4, 5]), 2), [0.5, 1, 1])


def test_text_neighbours_are_those_of_the_users_past() -> None:
    examples = build_examples([[0, 1], [2], []])
    text = np.random.default_rng(0).normal(size=(24, 5))
    text[5] = text[2] + 0.01
    scores = text_neighbours(text, examples.contexts, examples.catalogue)
    assert set(np.argsort(-scores[1])[:2]) == {2, 5}
    assert not scores[2].any()


def test_past_counts_are_those_of_all_histories() -> None:
    examples = build_examples([[0, 1, 1], [2], []])
    scores = past_counts(examples.contexts, examples.catalogue, 2)
    assert scores.shape == (2, 24)
    assert scores[:, :4].tolist() == [[1, 2, 1, 0]] * 2


def test_the_study_says_who_finds_left_out_advertisers_and_how_surely() -> None:
    catalogue = pd.DataFrame({"advertiser_id": [f"a{i:02d}" for i in range(40)], "vertical": ["x"] * 20 + ["y"] * 20})
    rng, column = np.random.default_rng(0), np.arange(400) % 20
    oracle = np.eye(40)[column]
    half = np.where(np.arange(400)[:, None] % 2, oracle, oracle[:, ::-1])
    study = judge_left_out({"llm": half, "text_neighbour": oracle}, catalogue, column, k=5, rng=rng)
    recall = {arm: by["recall@5"] for arm, by in study.evaluation.metrics.items()}
    # of those who are told wrong, the others tie, and ties go to the lower column: columns 0 to 3 come in
    assert recall["llm"].value == pytest.approx((200 + (column[::2] < 4).sum()) / 400)
    assert recall["text_neighbour"].value == 1
    assert recall["random_of_vertical"].value == pytest.approx(5 / 20)
    assert recall["random"].value == pytest.approx(5 / 40)
    assert study.times_vertical.value == pytest.approx(recall["llm"].value * 4)
    assert study.times_vertical.low < study.times_vertical.value < study.times_vertical.high
    against = {d.against: d for d in study.evaluation.differences}
    assert set(against) == {"text_neighbour", "random_of_vertical", "random"}
    assert against["text_neighbour"].high < 0 < against["random_of_vertical"].low


def named_world() -> TrainingExamples:
    """The checkerboard, where users of group 2 search for "group 2" and its advertisers are called "group 2 c"."""
    examples, _ = checkerboard_world(300, np.random.default_rng(3))
    events = examples.contexts.events
    bought = events.loc[events["kind"] == "conversion", "advertiser_id"]
    catalogue = examples.catalogue.assign(
        name=[f"group {i % GROUPS} {chr(97 + i)}" for i in range(ADVERTISERS)],
        vertical="",
        conversions=bought.value_counts().reindex(examples.catalogue["advertiser_id"]).to_numpy(),
    )
    names = bought.map(catalogue.set_index("advertiser_id")["name"]).fillna("outside")
    events.loc[bought.index, "advertiser_name"] = names
    return TrainingExamples(examples.contexts, examples.targets, catalogue)


def test_an_advertiser_never_trained_on_is_found_by_its_name(tmp_path: Path) -> None:
    examples = named_world()
    fewer, left_out = leave_out(examples, 0.2, np.random.default_rng(2))
    predictor = LLMPredictor(fetch_base_model("tiny", tmp_path), SETTINGS).fit(fewer)
    head = predictor._head.tensors
    strangers = np.isin(examples.catalogue["advertiser_id"], left_out)
    assert (head["trained"].numpy() == ~strangers).all()
    assert not head["residual"][strangers].any()
    targets = examples.targets[examples.targets["position"] >= 2]
    rows, column = of_left_out(targets, left_out, examples.catalogue)
    user, position = targets[["user", "position"]].to_numpy()[rows].T
    hidden = predictor.hidden_states_at(examples.contexts, user, position)

    def found(catalogue: pd.DataFrame) -> float:
        return float((ranks_in_matrix(predictor.with_catalogue(catalogue).distribution(hidden), column) <= 6).mean())

    chance, catalogue = 6 / ADVERTISERS, examples.catalogue
    assert found(catalogue) > 2 * chance
    other = [f"group {(i + 1) % GROUPS} {chr(97 + i)}" for i in range(ADVERTISERS)]
    misnamed = catalogue.assign(name=np.where(strangers, other, catalogue["name"]))
    assert found(misnamed) < chance / 2, "it is the name that finds them"
