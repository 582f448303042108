"""Ids of joined lines are the ids of the text, for any lines; only clean lines are taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import BadInput
from ml.llm.tokens import LineTokenizer

SMOLLM2 = Path(__file__).parents[3] / "var" / "base_models" / "smollm2-135m"
SPECIALS = ["<|im_start|>", "<|endoftext|>", "a  b", "x\t y", "'s", "42", " ,", "ß́", "🙂", "#"]
words = st.one_of(st.text(max_size=12), st.sampled_from(SPECIALS))
lines = st.lists(words, min_size=1, max_size=6).map(lambda parts: " ".join(parts).replace("\n", " ").strip())
prompts = st.lists(lines.filter(bool).map(lambda line: line + "\n"), min_size=1, max_size=8)


@given(prompts)
@settings(max_examples=60, deadline=None)
def test_joined_ids_of_tiny(tiny_base: Path, prompt: list[str]) -> None:
    tokenizer = LineTokenizer(tiny_base)
    joined = np.concatenate(tokenizer.encode_lines(prompt))
    np.testing.assert_array_equal(joined, tokenizer.encode_text("".join(prompt)))
    assert len(joined) == len("".join(prompt).encode())
    np.testing.assert_array_equal(tokenizer.count(prompt), [len(line.encode()) for line in prompt])


@pytest.mark.slow
@pytest.mark.skipif(not SMOLLM2.exists(), reason="needs the fetched base model")
@given(prompts)
@settings(max_examples=2000, deadline=None)
def test_joined_ids_of_smollm2(prompt: list[str]) -> None:
    tokenizer = smollm2_tokenizer()
    joined = np.concatenate(tokenizer.encode_lines(prompt))
    np.testing.assert_array_equal(joined, tokenizer.encode_text("".join(prompt)))
    assert tokenizer.count(prompt).sum() == len(joined)
    assert joined.min() > 16, "typed text must never become a control token"


def smollm2_tokenizer(cache: list[LineTokenizer] = []) -> LineTokenizer:  # noqa: B006 (opening it takes a second)
    if not cache:
        cache.append(LineTokenizer(SMOLLM2))
    return cache[0]


@pytest.mark.parametrize("line", ["no newline", "\n", " led\n", "trailed \n", "two\n\n"])
def test_lines_that_would_not_join_are_refused(tiny_base: Path, line: str) -> None:
    with pytest.raises(ValueError, match="not a prompt line"):
        LineTokenizer(tiny_base).encode_lines([line])


def test_a_tokenizer_that_cannot_join_lines_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers

    tokenizer = Tokenizer(models.BPE(vocab={"^": 0, "<u>": 1}, merges=[], unk_token="<u>"))
    tokenizer.normalizer = normalizers.Prepend("^")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(BadInput, match="do not join"):
        LineTokenizer(tmp_path)


def test_no_tokenizer_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"tokenizer\.json"):
        LineTokenizer(tmp_path)


def test_counting_is_light(tiny_base: Path) -> None:
    """Counting tokens for the contexts stage loads neither torch nor transformers."""
    code = (
        "import sys; from pathlib import Path; from ml.llm.tokens import LineTokenizer; "
        "LineTokenizer(Path(sys.argv[1])).count(['a\\n']); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tiny_base)], check=True)
