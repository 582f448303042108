"""A prompt gives the very same state whoever else is scored, in bfloat16 too; hardly anything is padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_worlds import TINY, Trained, last_search_world

from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.llm.base_model import fetch_base_model, load_base_model
from ml.llm.batches import encode, lay_out
from ml.llm.head import AdvertiserHead
from ml.llm.predictor import LLMPredictor
from ml.llm.reading import advertiser_lines, embed_lines, read_layout
from ml.llm.shapes import bucket_lengths, fixed_batches
from ml.llm.tokens import LineTokenizer
from ml.llm.validation import log_softmax
from ml.predictors.catalogue import build_catalogue

KEPT_MODELS = Path(__file__).parents[3] / "var" / "base_models"
ALLOWED = 1e-3


@given(st.lists(st.integers(1, 700), min_size=1, max_size=300), st.integers(16, 5000), st.booleans())
@settings(max_examples=80, deadline=None)
def test_each_prompt_once_in_the_shape_of_its_own_length(sizes: list[int], budget: int, any_rows: bool) -> None:
    lengths = np.array(sizes)
    batches = fixed_batches(lengths, budget, any_rows=any_rows)
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(len(lengths)))
    for rows, n_rows, length in batches:
        assert 1 <= len(rows) <= n_rows
        assert n_rows.bit_count() == 1 and (n_rows == 1 or n_rows * length <= budget)
        assert all(bucket_lengths(lengths[[row]])[0] == length for row in rows)
    if not any_rows:
        assert len({(n_rows, length) for _, n_rows, length in batches}) == len({length for *_, length in batches})


@given(st.integers(1, 3000))
def test_buckets_are_no_shorter_and_little_longer_than_their_prompts(length: int) -> None:
    padded = bucket_lengths(np.array([length]))[0]
    assert length <= padded < length + max(4, length / 8 + 3)
    assert bucket_lengths(np.array([padded]))[0] == padded


@pytest.mark.parametrize(("users", "most"), [(200, 0.08), (5000, 0.06)])
def test_little_fills_up(users: int, most: float) -> None:
    lengths = np.minimum(20 + np.random.default_rng(0).gamma(2.0, 28.0, users), 192).astype(np.int64)
    read = sum(batch.n_rows * batch.length for batch in fixed_batches(lengths, 4096, any_rows=True))
    assert read / lengths.sum() - 1 < most


def test_nobody() -> None:
    assert fixed_batches(np.array([], dtype=np.int64), 100, any_rows=True) == []


def test_in_bfloat16_a_state_does_not_depend_on_who_else_is_read(trained: Trained, tiny_base: Path) -> None:
    predictor = LLMPredictor.load(
        trained.checkpoint, tiny_base, model_version="v1", settings=TINY.model_copy(update={"dtype": "bfloat16"})
    )
    contexts = last_search_world(150, seed=5, events=7).contexts
    rng = np.random.default_rng(0)
    user, position = np.arange(150), rng.integers(0, 8, 150)  # prompts of 20 to 150 tokens
    whole = predictor.hidden_states_at(contexts, user, position)
    for size in (1, 7, 40):
        some = rng.choice(150, size, replace=False)
        np.testing.assert_array_equal(predictor.hidden_states_at(contexts, user[some], position[some]), whole[some])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_real_model_scores_a_few_users_as_it_scores_all(tmp_path: Path) -> None:
    """600 users of a simulated world: what an incremental run adds equals a full run."""
    from ml.lake import Lake
    from ml.sources.ingest import ingest
    from ml.sources.world import WorldSource
    from ml.world.settings import WorldSettings

    source = WorldSource(WorldSettings(users=800), 0, tmp_path / "landing")
    lake, day = Lake(tmp_path / "lake"), source.window().days[45]
    ingest(source, source.window(), lake, tmp_path / "quarantine", sparse=False)
    contexts = build_contexts(lake, day, ContextSettings())
    contexts = contexts.take(np.arange(600))
    with lake.connect(as_of=day) as con:
        catalogue = build_catalogue(con, day, min_users=0)
    base = fetch_base_model("smollm2-135m", KEPT_MODELS if KEPT_MODELS.exists() else tmp_path)
    model, tokenizer = load_base_model(base, "bfloat16", "cpu"), LineTokenizer(base)
    layout = lay_out(encode(contexts, tokenizer), np.arange(len(contexts)), np.diff(contexts.offsets), 192, exact=True)
    whole = read_layout(model, layout, 4096, "cpu")
    some = np.sort(np.random.default_rng(0).choice(len(contexts), 150, replace=False))
    few = read_layout(model, layout.take(some), 4096, "cpu")
    text = embed_lines(model, advertiser_lines(catalogue), tokenizer, 4096, "cpu")
    head = AdvertiserHead.start(text, whole.mean(axis=0), np.ones(len(catalogue)))
    expected, found = probabilities(head, whole[some]), probabilities(head, few)
    assert np.abs(found - expected).max() <= ALLOWED
    assert (top10(found) == top10(expected)).all(axis=1).mean() >= 0.999


def probabilities(head: AdvertiserHead, hidden: np.ndarray) -> np.ndarray:
    import torch

    return np.exp(log_softmax(head.logits(torch.from_numpy(hidden)).numpy()))


def top10(probability: np.ndarray) -> np.ndarray:
    return np.argsort(-probability, axis=1, kind="stable")[:, :10]
