"""benchmarks/prompt_lengths: what is drawn has the published shares, and prompts of just those lengths."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.prompt_lengths import BUDGET, PATH, draw_lengths, prompts_of_length
from ml.llm.batches import Layout


@pytest.mark.parametrize("name", ["amazon14", "world"])
@pytest.mark.parametrize("n", [0, 1, 40, 3000])
def test_drawn_lengths_follow_the_published_ones(name: str, n: int) -> None:
    counts = json.loads(PATH.read_text())[name]
    published = np.repeat([int(length) for length in counts], list(counts.values()))
    drawn = draw_lengths(name, n)
    assert len(drawn) == n and set(drawn.tolist()) <= set(published.tolist()) <= set(range(1, BUDGET + 1))
    if n:  # no share of prompts up to a length is off by more than half a prompt
        shares = [
            np.searchsorted(np.sort(each), np.arange(BUDGET), side="right") / len(each) for each in (drawn, published)
        ]
        assert np.abs(shares[0] - shares[1]).max() <= 0.5 / n + 1 / len(published)
    np.testing.assert_array_equal(drawn, draw_lengths(name, n))


def test_prompts_begin_as_real_ones_do() -> None:
    prompts = [np.arange(n, dtype=np.int32) + 100 * n for n in (3, 9, 5, 9)]
    each = np.arange(4)
    lengths = np.array([9, 1, 4, 3, 9])
    found = prompts_of_length(Layout(prompts, each, each, each, each), lengths)
    np.testing.assert_array_equal(found.lengths, lengths)
    np.testing.assert_array_equal(found.token, lengths - 1)
    for prompt in found.prompts:
        assert any(len(prompt) <= len(real) and (real[: len(prompt)] == prompt).all() for real in prompts)
    with pytest.raises(SystemExit, match="10 tokens"):
        prompts_of_length(Layout(prompts, each, each, each, each), np.array([10]))
