"""Leave-advertisers-out: who is left out, what references say, and that a name alone finds its buyers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.evaluation.left_out import leave_out, of_left_out, random_of_vertical, text_neighbours
from ml.llm.base_model import fetch_base_model
from ml.llm.predictor import LLMPredictor
from ml.llm.sample import draw_sample
from ml.llm.settings import LLMSettings
from ml.llm.teacher import Teacher
from ml.llm.tokens import LineTokenizer
from tests.contracts.predictor_contract import build_examples, checkerboard_world

SETTINGS = LLMSettings(
    base_model="tiny", max_prompt_tokens=160, train_tokens=60_000, adapted_layers=0.5, lora_rank=4, threads=1,
    device="cpu", dtype="float32", head_learning_rate=1e-2, advertiser_dropout=0.3, cooccurrence_share=0.3,
)  # fmt: skip


def test_no_target_of_a_left_out_advertiser_is_left_and_everything_else_is() -> None:
    examples = checkerboard_world(60, np.random.default_rng(0))[0]
    fewer, left_out = leave_out(examples, 0.25, np.random.default_rng(1))
    assert len(left_out) == 6
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


@pytest.fixture(scope="module")
def named_world() -> tuple[pd.DataFrame, list[list[int]]]:
    """Names share a letter pattern within a group; users convert within one group."""
    words = ["aaaa", "kkkk", "pppp", "zzzz"]
    examples, _ = checkerboard_world(300, np.random.default_rng(3))
    catalogue = examples.catalogue.assign(
        name=[f"{words[i % 4]}{chr(97 + i)}" for i in range(24)], vertical=[words[i % 4] for i in range(24)]
    )
    past = [[int(a[1:]) for a in rows if a.startswith("a")] for rows in
            examples.contexts.conversions().groupby("user")["advertiser_id"].agg(list)]  # fmt: skip
    return catalogue, past


def test_an_advertiser_never_trained_on_is_found_by_its_name(
    named_world: tuple[pd.DataFrame, list[list[int]]], tmp_path: Path
) -> None:
    from ml.contexts.stream import TrainingExamples

    catalogue, past = named_world
    examples = build_examples(past)
    names = catalogue.set_index("advertiser_id")["name"]
    events = examples.contexts.events
    bought = events["kind"] == "conversion"
    events.loc[bought, "advertiser_name"] = events.loc[bought, "advertiser_id"].map(names).fillna("outside")
    examples = TrainingExamples(examples.contexts, examples.targets, catalogue)
    fewer, left_out = leave_out(examples, 0.2, np.random.default_rng(0))
    predictor = LLMPredictor(fetch_base_model("tiny", tmp_path), SETTINGS).fit(fewer)
    targets = examples.targets[examples.targets["advertiser_id"].isin(left_out) & (examples.targets["position"] >= 2)]
    rows, column = of_left_out(targets, left_out, catalogue)
    hidden = predictor.hidden_states_at(
        examples.contexts, targets["user"].to_numpy()[rows], targets["position"].to_numpy()[rows]
    )
    probabilities = predictor.distribution(hidden)
    ranks = (probabilities > probabilities[np.arange(len(column)), column][:, None]).sum(axis=1) + 1
    assert (ranks <= 6).mean() > 2 * 6 / 24
