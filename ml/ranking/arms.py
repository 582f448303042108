"""Arms: the same rows and settings with the priors of one source, of another, or of none. Arms are data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ml.errors import BadInput
from ml.lake import Lake
from ml.ranking.converts import ConvertsModel
from ml.ranking.features import CHUNK, FEATURES_BASE, FeatureSource, build_features, categories, verticals
from ml.ranking.matrices import ROW_GROUP, StoredFeatures
from ml.ranking.priors import FEATURES_PRIOR, Priors, prior_features, prior_matrix

NONE = "none"
BASE_FILE = "base.parquet"


def arms(
    lake: Lake,
    rows: pd.DataFrame,
    priors_by_source: Mapping[str, pd.DataFrame | Priors],
    converts: ConvertsModel | None = None,
) -> dict[str, pd.DataFrame]:
    """Features of the same rows per arm: "none" without prior columns, then one arm a source.

    Args:
        rows: what `ranker_rows` returns.
        priors_by_source: priors by arm name, such as "llm" and "placebo".
        converts: forecasts P(converts), for every arm alike.

    Returns:
        Feature frames by arm, each indexed as `rows`; they share the base columns.

    Raises:
        BadInput: a source is called "none".
    """
    _check(priors_by_source)
    base = build_features(lake, rows, converts=converts)
    filed = verticals(lake), categories(lake)
    with_priors = {
        name: pd.concat([base, prior_features(rows, priors, *filed)], axis=1)
        for name, priors in priors_by_source.items()
    }
    return {NONE: base, **with_priors}


def store_arms(
    lake: Lake,
    rows: pd.DataFrame,
    priors_by_source: Mapping[str, pd.DataFrame | Priors],
    directory: Path,
    converts: ConvertsModel | None = None,
    *,
    chunk: int = CHUNK,
) -> dict[str, StoredFeatures]:
    """The same features, written to `directory` chunk by chunk: what many rows are trained on in bounded memory.

    The base columns lie in one file that all arms share, the priors of each arm in one of its own.
    """
    _check(priors_by_source)
    directory.mkdir(parents=True, exist_ok=True)
    filed, source = (verticals(lake), categories(lake)), FeatureSource(lake, converts)
    base = directory / BASE_FILE
    with pq.ParquetWriter(base, _schema(FEATURES_BASE), compression="zstd") as file:
        for _, matrix in source.chunks(rows, chunk):
            file.write_table(_table(matrix, FEATURES_BASE), ROW_GROUP)
    found = {NONE: StoredFeatures([base], [FEATURES_BASE], len(rows))}
    for name, priors in priors_by_source.items():
        path = directory / f"{name}.parquet"
        with pq.ParquetWriter(path, _schema(FEATURES_PRIOR), compression="zstd") as file:
            for first in range(0, len(rows), chunk):
                matrix = prior_matrix(rows.iloc[first : first + chunk], priors, *filed)
                file.write_table(_table(matrix, FEATURES_PRIOR), ROW_GROUP)
        found[name] = StoredFeatures([base, path], [FEATURES_BASE, FEATURES_PRIOR], len(rows))
    return found


def _check(priors_by_source: Mapping[str, pd.DataFrame | Priors]) -> None:
    if NONE in priors_by_source:
        raise BadInput('an arm may not be called "none"', where="priors_by_source", remedy="name it after its source")


def _schema(names: list[str]) -> pa.Schema:
    return pa.schema([(name, pa.float32()) for name in names])


def _table(matrix: np.ndarray, names: list[str]) -> pa.Table:
    return pa.table([np.ascontiguousarray(matrix[:, place]) for place in range(len(names))], schema=_schema(names))
