"""The probe takes what is fastest, and more threads only where they are worth it; settings overrule it."""

from __future__ import annotations

from pathlib import Path

import torch
from llm_worlds import TINY

from ml.llm.probe import choose_compute, fastest, use_threads


def test_the_fastest_wins_and_threads_must_be_worth_it() -> None:
    with_matrix_units = {"bfloat16 x 1": 1500.0, "bfloat16 x 2": 2900.0, "float32 x 1": 280.0, "float32 x 2": 500.0}
    assert fastest(with_matrix_units) == ("bfloat16", 2)
    assert fastest({**with_matrix_units, "bfloat16 x 2": 1600.0}) == ("bfloat16", 1)
    assert fastest({**with_matrix_units, "bfloat16 x 2": 120.0}) == ("bfloat16", 1)
    assert fastest({"bfloat16 x 1": 20.0, "float32 x 1": 90.0, "float32 x 2": 88.0}) == ("float32", 1)


def test_settings_overrule_the_probe(tiny_base: Path) -> None:
    fixed = choose_compute(tiny_base, TINY.model_copy(update={"dtype": "bfloat16", "threads": 3}))
    assert (fixed.device, fixed.dtype, fixed.threads, fixed.tried) == ("cpu", "bfloat16", 3, {})


def test_the_probe_says_what_it_tried(tiny_base: Path) -> None:
    with use_threads(2):
        free = choose_compute(tiny_base, TINY.model_copy(update={"dtype": "auto", "threads": 0}))
    assert set(free.tried) == {f"{dtype} x {count}" for dtype in ("bfloat16", "float32") for count in (1, 2)}
    assert (free.dtype, free.threads) == fastest(free.tried)


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with use_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
