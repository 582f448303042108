"""The search against an oracle that scores every name and shares no code with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from llm_worlds import TINY, last_search_world

from ml.contexts.stream import TrainingExamples
from ml.llm.base_model import load_base_model
from ml.llm.batches import encode
from ml.llm.by_name.oracle import Oracle
from ml.llm.by_name.reader import NextToken, NodeReader, Reading, vocabulary_matrix
from ml.llm.by_name.search import Found, search
from ml.llm.by_name.training import train_names
from ml.llm.by_name.trie import Names, NameTrie
from ml.llm.tokens import LineTokenizer

USERS, NAMES = 100, 300
READINGS: tuple[Reading, ...] = ("catalogue", "vocabulary")
LEARNS = TINY.model_copy(
    update={"adapted_layers": 1.0, "lora_rank": 16, "adapter_learning_rate": 1e-2, "train_tokens": 15_000}
)


def many_names_world() -> TrainingExamples:
    """Streams of the last-search world whose conversions are with made-up names (Zipf)."""
    rng = np.random.default_rng(0)
    syllables = ["ka", "lo", "mi", "ten", "ar", "vo", "s", "ri"]
    names = sorted({"".join(rng.choice(syllables, size=rng.integers(1, 5))).title() for _ in range(600)})
    catalogue = pd.DataFrame({"name": rng.permutation(names)[:NAMES], "advertiser_id": np.arange(NAMES).astype(str)})
    world = last_search_world(200)
    share = 1 / np.arange(1, NAMES + 1)
    drawn = rng.choice(NAMES, size=len(world.targets), p=share / share.sum()).astype(str)
    return TrainingExamples(world.contexts, world.targets.assign(advertiser_id=drawn), catalogue)


class Setup:
    """A tiny model that has learned to write 300 names, and prompts of many lengths."""

    def __init__(self, base: Path) -> None:
        examples, tokenizer = many_names_world(), LineTokenizer(base)
        self.names = Names.of(examples.catalogue["name"].tolist(), tokenizer)
        self.trie = NameTrie.of(self.names.ids)
        model = load_base_model(base, "float32", "cpu")
        self.learned = train_names(examples, self.names, model, tokenizer, LEARNS, seed=0, device="cpu")
        self.model: Any = self.learned.model
        lines = encode(examples.contexts.take(np.arange(USERS)), tokenizer)
        self.prompts = [
            np.concatenate([lines.profiles[user], *lines.events[5 * user : 5 * user + user % 6], self.names.cue])
            for user in range(USERS)
        ]

    def search(self, prompts: list[np.ndarray], beam: int, reading: Reading) -> Found:
        import torch

        following = NextToken(vocabulary_matrix(self.model), self.trie, reading)
        with torch.inference_mode():
            return search(NodeReader(self.model, self.trie, "cpu"), following, prompts, beam)


@pytest.fixture(scope="module")
def setup(tiny_base: Path) -> Setup:
    return Setup(tiny_base)


@pytest.fixture(scope="module")
def truth(setup: Setup) -> dict[Reading, np.ndarray]:
    oracle = Oracle(setup.model, setup.names.ids)
    scores = [oracle.scores(prompt) for prompt in setup.prompts]
    return {reading: np.array([score[reading] for score in scores]) for reading in READINGS}


@pytest.mark.parametrize("reading", READINGS)
def test_beam_50_finds_the_oracles_top_10(setup: Setup, truth: dict[Reading, np.ndarray], reading: Reading) -> None:
    found = setup.search(setup.prompts, 50, reading)
    best = np.argsort(-truth[reading], axis=1, kind="stable")[:, :10]
    assert (found.name[:, :10] == best).all(axis=1).mean() >= 0.99
    np.testing.assert_allclose(found.score, np.take_along_axis(truth[reading], found.name, axis=1), atol=1e-3)


@pytest.mark.parametrize("reading", READINGS)
def test_a_beam_as_wide_as_the_catalogue_scores_every_name(
    setup: Setup, truth: dict[Reading, np.ndarray], reading: Reading
) -> None:
    found = setup.search(setup.prompts[:8], len(setup.trie), reading)
    scores = np.full((8, NAMES), np.nan)
    np.put_along_axis(scores, found.name, found.score, axis=1)
    np.testing.assert_allclose(scores, truth[reading][:8], atol=1e-3)
    assert (found.bound == -np.inf).all()
    if reading == "catalogue":
        np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1)


@pytest.mark.parametrize("reading", READINGS)
def test_no_absent_name_scores_above_the_bound(
    setup: Setup, truth: dict[Reading, np.ndarray], reading: Reading
) -> None:
    found = setup.search(setup.prompts, 4, reading)
    absent = truth[reading].copy()
    np.put_along_axis(absent, found.name, -np.inf, axis=1)
    assert found.name.shape == (USERS, 4)
    assert (absent.max(axis=1) <= found.bound + 1e-3).all()
    assert (np.diff(found.score, axis=1) <= 0).all()
    proven = found.score[:, 0] > found.bound + 1e-3
    assert (found.name[:, 0] == truth[reading].argmax(axis=1))[proven].all()


def test_a_users_names_do_not_depend_on_who_is_beside_him(setup: Setup) -> None:
    together = setup.search(setup.prompts[:6], 20, "vocabulary")
    alone = setup.search(setup.prompts[2:3], 20, "vocabulary")
    np.testing.assert_array_equal(together.name[2], alone.name[0])
    np.testing.assert_allclose(together.score[2], alone.score[0], atol=1e-4)


def test_the_same_names_and_scores_as_transformers(setup: Setup, tiny_base: Path) -> None:
    """`generate` with constrained beams sums the same log-probabilities, without division by length."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_base, local_files_only=True)
    model.model.load_state_dict(setup.model.state_dict())
    prompt, newline = setup.prompts[0], int(setup.names.ids[0][-1])
    ids = [name.tolist() for name in setup.names.ids]

    def allowed(_: int, tokens: torch.Tensor) -> list[int]:
        so_far = tokens[len(prompt) :].tolist()
        following = {name[len(so_far)] for name in ids if name[: len(so_far)] == so_far and len(name) > len(so_far)}
        return sorted(following) or [newline]

    made = model.generate(
        torch.from_numpy(prompt[None].astype(np.int64)),
        num_beams=40,
        num_return_sequences=5,
        do_sample=False,
        prefix_allowed_tokens_fn=allowed,
        eos_token_id=newline,
        pad_token_id=newline,
        length_penalty=0.0,
        max_new_tokens=20,
        return_dict_in_generate=True,
        output_scores=True,
    )
    found = setup.search([prompt], 40, "vocabulary")
    for row in range(5):
        mine = ids[found.name[0, row]]
        assert made.sequences[row, len(prompt) :][: len(mine)].tolist() == mine
    np.testing.assert_allclose(found.score[0, :5], made.sequences_scores.numpy(), atol=1e-3)
