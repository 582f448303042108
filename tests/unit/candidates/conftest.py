"""The topical lake, and towers trained on it once for all tests of candidates."""

import pytest

from ml.candidates.training import train_towers
from ml.candidates.two_tower import TwoTower
from ml.contexts.build import build_contexts
from ml.contexts.settings import ContextSettings
from ml.lake import Lake
from tests.unit.candidates.candidate_lakes import DAY, SMALL, topical_lake


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return topical_lake(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="session")
def towers(lake: Lake) -> TwoTower:
    return train_towers(lake, build_contexts(lake, DAY, ContextSettings(), only_active=False), SMALL.tower, seed=3)
