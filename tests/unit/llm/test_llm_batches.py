"""Layouts read what the renderer would have written; batches hold every prompt once and within the budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_worlds import last_search_world

from ml.contexts.render import render_prompts
from ml.contexts.stream import UserContexts
from ml.llm.batches import Lines, encode, lay_out, padded, scoring_batches, training_batches
from ml.llm.tokens import LineTokenizer

CONTEXTS = last_search_world(12, seed=3, events=9).contexts


def prefix(contexts: UserContexts, user: int, position: int) -> UserContexts:
    """The context of one user as it was after `position` events."""
    start = int(contexts.offsets[user])
    events = contexts.events.iloc[start : start + position].reset_index(drop=True).assign(user=0)
    users = contexts.users.iloc[[user]].reset_index(drop=True)
    return UserContexts(contexts.as_of, users, events, np.array([0, position]))


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> LineTokenizer:
    return LineTokenizer(tiny_base)


@pytest.fixture(scope="module")
def lines(tokenizer: LineTokenizer) -> Lines:
    return encode(CONTEXTS, tokenizer)


requests = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 9)), min_size=1, max_size=25)


@given(requests, st.integers(40, 260))
@settings(max_examples=60, deadline=None)
def test_exact_reads_end_the_prompt_of_that_day(
    tokenizer: LineTokenizer, lines: Lines, asked: list[tuple[int, int]], budget: int
) -> None:
    user, position = np.array(asked).T
    layout = lay_out(lines, user, position, budget, exact=True)
    np.testing.assert_array_equal(layout.request, np.arange(len(asked)))
    for read, (who, where) in enumerate(asked):
        text = render_prompts(prefix(CONTEXTS, who, where), tokenizer.count, budget).text[0]
        seen = layout.prompts[layout.prompt[read]][: layout.token[read] + 1]
        np.testing.assert_array_equal(seen, tokenizer.encode_text(text))
        assert layout.owner[layout.prompt[read]] == who


@given(requests, st.integers(40, 260))
@settings(max_examples=60, deadline=None)
def test_training_reads_one_prompt_a_user_and_drops_what_fell_away(
    lines: Lines, asked: list[tuple[int, int]], budget: int
) -> None:
    user, position = np.array(asked).T
    layout = lay_out(lines, user, position, budget, exact=False)
    assert sorted(layout.owner) == sorted(set(user))
    assert (layout.lengths <= budget).all()
    for read, request in enumerate(layout.request):
        who, where = asked[request]
        prompt, last = layout.prompts[layout.prompt[read]], max(p for u, p in asked if u == who)
        line = lines.profiles[who] if where == 0 else lines.events[int(lines.offsets[who]) + where - 1]
        tail = prompt[: layout.token[read] + 1][-len(line) :]
        np.testing.assert_array_equal(tail, line)
        later = lines.events[int(lines.offsets[who]) + where : int(lines.offsets[who]) + last]
        assert len(prompt) - layout.token[read] - 1 == sum(map(len, later)) or where == 0
    gone = set(range(len(asked))) - set(layout.request.tolist())
    for request in gone:
        who, where = asked[request]
        last = max(p for u, p in asked if u == who)
        needed = lines.events[int(lines.offsets[who]) + where - 1 : int(lines.offsets[who]) + last]
        assert where > 0
        assert sum(map(len, needed)) + len(lines.profiles[who]) > budget


def test_take_keeps_reads_with_their_prompts(lines: Lines) -> None:
    user, position = np.repeat(np.arange(12), 3), np.tile([2, 5, 9], 12)
    layout = lay_out(lines, user, position, 10_000, exact=True)
    part = layout.take(np.array([7, 2]))
    assert sorted(part.request) == [6, 7, 8, 21, 22, 23]
    for read, request in enumerate(part.request):
        whole = layout.prompts[layout.prompt[request]]
        np.testing.assert_array_equal(part.prompts[part.prompt[read]], whole)
        assert part.token[read] == layout.token[request]
    assert sorted(part.request[part.reads_of(np.array([1]))]) == [6, 7, 8]


@given(st.lists(st.integers(1, 90), min_size=1, max_size=200), st.integers(16, 400), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_batches_hold_each_prompt_once_within_the_budget(sizes: list[int], budget: int, seed: int) -> None:
    lengths = np.array(sizes)
    for batches in (scoring_batches(lengths, budget), training_batches(lengths, budget, np.random.default_rng(seed))):
        assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
        for rows in batches:
            assert len(rows) == 1 or len(rows) * lengths[rows].max() <= budget


def test_little_is_padding() -> None:
    lengths = np.random.default_rng(0).integers(30, 193, size=2000)
    for batches, most in (
        (scoring_batches(lengths, 4096), 0.05),
        (training_batches(lengths, 1024, np.random.default_rng(0)), 0.1),
    ):
        rectangle = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
        assert 1 - lengths.sum() / rectangle < most


def test_padding_stands_on_the_right() -> None:
    np.testing.assert_array_equal(padded([np.array([5, 6]), np.array([7])]), [[5, 6], [7, 0]])


def test_nobody_asked() -> None:
    nobody = np.array([], dtype=np.int64)
    empty = CONTEXTS.take(nobody)
    layout = lay_out(Lines([], [], empty.offsets, nobody, nobody), nobody, nobody, 100, exact=True)
    assert layout.prompts == []
    assert scoring_batches(layout.lengths, 100) == []
