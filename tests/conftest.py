"""Two workers share two cores: one thread each, or they wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.s3"]
