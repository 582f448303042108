"""The advertiser LLM keeps the contract of every source (tiny base)."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_worlds import TINY

from ml.llm.predictor import LLMPredictor
from tests.contracts.predictor_contract import PredictorContract

SETTINGS = TINY.model_copy(update={"train_tokens": 5_000, "max_prompt_tokens": 96, "batch_tokens": 512})


class TestLLM(PredictorContract):
    wins = ("fashion",)
    n_users = 60
    base: Path

    @pytest.fixture(autouse=True)
    def _base(self, tiny_base: Path) -> None:
        self.base = tiny_base

    def make(self) -> LLMPredictor:
        return LLMPredictor(self.base, SETTINGS)
