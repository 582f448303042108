"""The plain count of users who should have a context is the number the builder makes, on any lake."""

from __future__ import annotations

import numpy as np
import pytest

from ml.contexts.build import build_contexts
from ml.contexts.coverage import active_consenting_users
from ml.contexts.settings import ContextSettings
from tests.lakes import random_lake


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("active_days", [1, 4, 36_500])
def test_count_equals_contexts(tmp_path, seed, active_days):
    lake = random_lake(tmp_path, np.random.default_rng(seed))
    settings = ContextSettings(active_days=active_days)
    for day in lake.days("activity")[2::3]:
        assert active_consenting_users(lake, day, settings) == len(build_contexts(lake, day, settings))
