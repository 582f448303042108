"""The check of the contexts sees personal text, URLs, too long prompts and doubled users."""

from __future__ import annotations

import pandas as pd
import pytest

from ml.validation.contexts import check_contexts_table


def table(**changed) -> pd.DataFrame:
    columns = {
        "user_id": ["u1", "u2"],
        "n_tokens": [10, 20],
        "prompt": ["user: 25-34\n", "user:\n"],
        "content_hash": ["a", "b"],
    }
    return pd.DataFrame({**columns, **changed})


def test_sound_contexts_pass():
    assert check_contexts_table(table(), budget=20).passed


@pytest.mark.parametrize(
    "changed",
    [
        {"user_id": ["u1", "u1"]},
        {"n_tokens": [10, 21]},
        {"prompt": ["search: see https://a.example/x\n", "user:\n"]},
        {"prompt": ["search: write to ann@a.example\n", "user:\n"]},
        {"prompt": ["search: call 5551234567\n", "user:\n"]},
        {"content_hash": ["a", None]},
    ],
)
def test_each_fault_is_found_and_no_prompt_is_shown(changed):
    outcome = check_contexts_table(table(**changed), budget=20)
    assert not outcome.passed
    assert "ann@" not in str(outcome) and "5551234567" not in str(outcome) and "a.example" not in str(outcome)


def test_an_empty_day_fails():
    assert not check_contexts_table(table().head(0), budget=20).passed
