"""Shared by the tests of the advertiser LLM: the tiny base model, and one model trained on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_worlds import TINY, Trained, last_search_world

from ml.llm.base_model import fetch_base_model
from ml.llm.predictor import LLMPredictor
from ml.llm.train import train


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_base_model("tiny", tmp_path_factory.mktemp("base_models"))


@pytest.fixture(scope="session")
def trained(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A predictor that has learned the last-search world."""
    examples, work = last_search_world(400), tmp_path_factory.mktemp("checkpoint")
    result = train(examples, tiny_base, TINY, seed=0, work=work)
    predictor = LLMPredictor.load(work, tiny_base, model_version="v1", settings=TINY)
    return Trained(examples, work, result, predictor)
