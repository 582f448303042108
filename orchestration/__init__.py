"""Wiring only: definitions, settings, resources, partitions, jobs, the runner and the command line."""

import os

# No package of ours, or that we start, reports home unless its owner asks for it.
for _variable, _off in {
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}.items():
    os.environ.setdefault(_variable, _off)
