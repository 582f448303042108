"""Feature rows in batches, and the quantized matrix XGBoost trains on, made of them in bounded memory.

XGBoost's quantized matrix holds one byte or two a value; the float rows themselves pass through a batch at a time,
several times over. Which rows count, their labels, and whose priors are hidden are arrays, one entry a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ml.errors import BadInput
from ml.ranking.priors import hide_priors

BATCH = 32_768
"""Rows of a batch."""
ROW_GROUP = 32_768
"""Rows that a Parquet file holds together: what is read at once."""


class Features(Protocol):
    """Rows of named float32 features."""

    @property
    def names(self) -> list[str]: ...

    def __len__(self) -> int: ...

    def batches(self) -> Iterator[np.ndarray]:
        """All rows in order, float32, shapes (m, len(names))."""
        ...


@dataclass(frozen=True)
class FrameFeatures:
    """Rows in memory."""

    frame: pd.DataFrame

    @property
    def names(self) -> list[str]:
        return list(self.frame.columns)

    def __len__(self) -> int:
        return len(self.frame)

    def batches(self) -> Iterator[np.ndarray]:
        for first in range(0, len(self), BATCH):
            yield np.ascontiguousarray(self.frame.iloc[first : first + BATCH].to_numpy(np.float32))


@dataclass(frozen=True)
class StoredFeatures:
    """Rows in Parquet files that hold some of the columns each, row by row the same; read by DuckDB as Arrow batches.

    Attributes:
        paths: the files, in the order of their columns.
        columns: of each file, those that are features.
        rows: how many.
    """

    paths: list[Path]
    columns: list[list[str]]
    rows: int

    @property
    def names(self) -> list[str]:
        return [name for names in self.columns for name in names]

    def __len__(self) -> int:
        return self.rows

    def batches(self) -> Iterator[np.ndarray]:
        import duckdb

        parts = [
            f"(SELECT {', '.join(names)} FROM read_parquet('{path}'))"
            for path, names in zip(self.paths, self.columns, strict=True)
        ]
        with duckdb.connect(config={"preserve_insertion_order": True, "threads": 1}) as con:
            query = f"SELECT {', '.join(self.names)} FROM {' POSITIONAL JOIN '.join(parts)}"
            for batch in con.sql(query).to_arrow_reader(BATCH):
                rows = np.empty((batch.num_rows, batch.num_columns), dtype=np.float32)
                for place, column in enumerate(batch.columns):
                    rows[:, place] = column.to_numpy()
                yield rows


@dataclass(frozen=True)
class Selection:
    """Which rows of `features`, and what is said of them.

    Attributes:
        features: the rows.
        keep: which of them, bool, shape (n,).
        labels: float32, shape (n,).
        hidden: rows whose priors are hidden, bool, shape (n,); None: nobody's.
    """

    features: Features
    keep: np.ndarray
    labels: np.ndarray
    hidden: np.ndarray | None = None

    def __post_init__(self) -> None:
        if len(self.keep) != len(self.features) or len(self.labels) != len(self.features):
            raise BadInput(
                f"{len(self.features)} feature rows for {len(self.labels)} rows",
                where="ranker",
                remedy="build both from the same rows",
            )

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Kept rows and their labels; no empty batch."""
        first = 0
        for rows in self.features.batches():
            here = slice(first, first := first + len(rows))
            keep = self.keep[here]
            if not keep.any():
                continue
            # A copy, unless every row stays as it is: batches may be views of somebody's frame.
            mine = rows if keep.all() and self.hidden is None else rows[keep]
            if self.hidden is not None:
                hide_priors(mine, self.features.names, self.hidden[here][keep])
            yield mine, self.labels[here][keep]


def quantile_matrix(selection: Selection, *, threads: int, like: Any = None) -> Any:
    """xgboost.QuantileDMatrix of the selection.

    Args:
        selection: at least one row.
        threads: of XGBoost.
        like: the matrix whose cuts it shares, for rows to be judged by a model of that matrix.
    """
    import xgboost

    class Batches(xgboost.DataIter):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.left = selection.batches()

        def next(self, input_data: Any) -> bool:
            if (found := next(self.left, None)) is None:
                return False
            input_data(data=found[0], label=found[1], feature_names=selection.features.names)
            return True

        def reset(self) -> None:
            self.left = selection.batches()

    return xgboost.QuantileDMatrix(Batches(), nthread=threads, ref=like)
