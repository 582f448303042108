"""The LLM by name keeps the contract of every source, and learns what its prompts say (tiny base)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llm_worlds import TINY, last_search_world

from ml.contexts.stream import TrainingExamples
from ml.errors import BadInput
from ml.llm.batches import encode, lay_out
from ml.llm.by_name.reader import Reading, vocabulary_matrix
from ml.llm.by_name.source import ByNameSettings, LLMByName
from ml.llm.by_name.training import last_targets, with_names
from ml.llm.by_name.trie import Names
from ml.llm.tokens import LineTokenizer
from tests.contracts.predictor_contract import PredictorContract

EVERY = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LEARNS = TINY.model_copy(
    update={"adapted_layers": 1.0, "lora_rank": 16, "lora_modules": EVERY, "adapter_learning_rate": 1e-2}
)
"""A random model writes names only once all its layers have learned to."""
CONTRACT = ByNameSettings(
    llm=LEARNS.model_copy(update={"train_tokens": 6_000, "epochs": 2, "max_prompt_tokens": 96, "batch_tokens": 512})
)


class TestLLMByName(PredictorContract):
    """It wins the fashion only: a random model does not learn to copy from its prompt in a second."""

    wins = ("fashion",)
    n_users = 60
    base: Path

    @pytest.fixture(autouse=True)
    def _base(self, tiny_base: Path) -> None:
        self.base = tiny_base

    def make(self) -> LLMByName:
        return LLMByName(self.base, CONTRACT)


def zero_shot(base: Path, examples: TrainingExamples, reading: Reading = "catalogue", **changes: Any) -> LLMByName:
    settings = ByNameSettings(llm=TINY, zero_shot=True, reading=reading, **changes)
    return LLMByName(base, settings).fit(examples)


def test_training_lowers_the_loss_and_is_repeatable(tiny_base: Path) -> None:
    examples = last_search_world(40)
    settings = ByNameSettings(llm=LEARNS.model_copy(update={"train_tokens": 4_000}))
    first, second = (LLMByName(tiny_base, settings).fit(examples) for _ in range(2))
    assert first.learned and first.learned.losses["validation_end"] < 0.6 * first.learned.losses["validation_start"]
    assert first.model_version == second.model_version
    np.testing.assert_array_equal(first.probabilities(examples.contexts), second.probabilities(examples.contexts))


def test_zero_shot_learns_nothing(tiny_base: Path) -> None:
    examples = last_search_world(6)
    source = zero_shot(tiny_base, examples)
    assert source.learned is None
    assert len(source.predict(examples.contexts, 3)) == 18


@pytest.mark.parametrize("reading", ["catalogue", "vocabulary"])
def test_advertisers_of_one_name_share_it_by_their_conversions(tiny_base: Path, reading: Reading) -> None:
    examples = last_search_world(30)
    alone = zero_shot(tiny_base, examples, reading).probabilities(examples.contexts)
    twice = examples.catalogue.copy()
    twice.loc[5, "name"] = twice.loc[2, "name"]
    without = examples.catalogue.drop(index=5).reset_index(drop=True)
    merged = zero_shot(tiny_base, TrainingExamples(examples.contexts, examples.targets, without), reading)
    shared = zero_shot(tiny_base, TrainingExamples(examples.contexts, examples.targets, twice), reading)
    found, expected = shared.probabilities(examples.contexts), merged.probabilities(examples.contexts)
    counts = examples.targets["advertiser_id"].value_counts()
    share = (counts["a2"] + 1) / (counts["a2"] + counts["a5"] + 2)
    np.testing.assert_allclose(found[:, 2], share * expected[:, 2], rtol=1e-4)
    np.testing.assert_allclose(found[:, 5], (1 - share) * expected[:, 2], rtol=1e-4)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert not np.allclose(found, alone)


def test_in_the_vocabularys_reading_predictions_are_not_divided_by_their_sum(tiny_base: Path) -> None:
    examples = last_search_world(10)
    source = zero_shot(tiny_base, examples, "vocabulary")
    table = source.predict(examples.contexts, 8)
    whole = np.sort(source.probabilities(examples.contexts), axis=1)[:, ::-1]
    raw = table["probability"].to_numpy().reshape(10, 8)
    assert (raw.sum(axis=1) < 1).all()
    np.testing.assert_allclose(raw / raw.sum(axis=1, keepdims=True), whole, rtol=1e-3)


def test_the_other_reading_of_a_fitted_source_is_that_of_one_fitted_so(tiny_base: Path) -> None:
    examples = last_search_world(10)
    other = zero_shot(tiny_base, examples).read_as("vocabulary")
    made = zero_shot(tiny_base, examples, "vocabulary")
    assert other.model_version == made.model_version
    np.testing.assert_array_equal(other.probabilities(examples.contexts), made.probabilities(examples.contexts))


def test_more_advertisers_than_the_beam_are_asked_for(tiny_base: Path) -> None:
    examples = last_search_world(4)
    table = zero_shot(tiny_base, examples, beam=2).predict(examples.contexts, 6)
    assert (table.groupby("user_id")["advertiser_id"].nunique() == 6).all()


def test_every_token_of_a_name_is_read_where_the_text_has_it(tiny_base: Path) -> None:
    examples, tokenizer = last_targets(last_search_world(12)), LineTokenizer(tiny_base)
    assert examples.targets["user"].is_unique
    names = Names.of(examples.catalogue["name"].tolist(), tokenizer)
    user, position = examples.targets["user"].to_numpy(), examples.targets["position"].to_numpy()
    layout = lay_out(encode(examples.contexts, tokenizer), user, position, 1000, exact=False)
    column = examples.catalogue["advertiser_id"].tolist()
    target = np.array([column.index(a) for a in examples.targets["advertiser_id"].iloc[layout.request]])
    named, following = with_names(layout, target, names)
    for read, token in enumerate(following):
        row = named.prompt[read]
        line = tokenizer.encode_text(f"bought: {examples.catalogue['name'][target[row]]}\n")
        text = np.concatenate([layout.prompts[layout.prompt[row]], line])
        np.testing.assert_array_equal(named.prompts[row], text[:-1])
        assert text[named.token[read] + 1] == token
    assert len(following) == sum(len(names.ids[row]) for row in target)


def test_a_head_that_is_not_the_embedding_is_refused() -> None:
    class Untied:
        class config:
            tie_word_embeddings = False

    with pytest.raises(BadInput, match="not its embedding"):
        vocabulary_matrix(Untied())
