"""Two workers share two cores: one thread each, or they wait for each other."""

import os
import signal
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts its background jobs deaf to Ctrl-C, and so would be every command that the tests start and stop.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.s3"]


class OnePipeline(LoadScopeScheduling):
    """All tests of tests/pipeline go to one worker, for they share one tiny run; any other test goes to either.

    (`--dist loadgroup` would say the same by marks, but its groups have no effect with pytest 9.2 and xdist 3.8.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return "tests/pipeline" if nodeid.startswith("tests/pipeline/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OnePipeline:
    return OnePipeline(config, log)
