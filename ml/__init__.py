"""Adprior's pure core: frames, paths, settings and a Generator in; values out.

Nothing in here knows Dagster, MLflow, a web framework or the environment, so every
piece can be used from a notebook or another scheduler. `tests/unit/` mirrors it.
"""
