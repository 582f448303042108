"""Hidden states on disk, by user and content hash, one Parquet file a shard.

It does not know which model they come from: whoever takes them up answers for that.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

STATES = "states"
"""Folder of the files."""


class StoredStates:
    """Where the states of an earlier day lie, by user and content hash; the states themselves stay on disk."""

    def __init__(self, directory: Path | None) -> None:
        self.files = sorted((directory / STATES).glob("*.parquet")) if directory else []
        parts = [pq.read_table(path, columns=["user_id", "content_hash"]).to_pandas() for path in self.files]
        places = [part.assign(file=file, row=np.arange(len(part))) for file, part in enumerate(parts)]
        empty = pd.DataFrame(columns=["user_id", "content_hash", "file", "row"])
        self.places = pd.concat(places or [empty], ignore_index=True).set_index(["user_id", "content_hash"])

    def find(self, user_ids: np.ndarray, hashes: np.ndarray) -> pd.DataFrame:
        """Columns file and row, one row a user; null where there is no state of this very context."""
        found: pd.DataFrame = self.places.reindex(pd.MultiIndex.from_arrays([user_ids, hashes]))
        return found.reset_index(drop=True)

    def read(self, file: int, rows: np.ndarray) -> np.ndarray:
        """Some states of one file, shape (n, hidden)."""
        column = pq.read_table(self.files[file], columns=["state"])["state"].combine_chunks()
        values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)[rows]
        return values


def write_states(path: Path, user_ids: np.ndarray, hashes: np.ndarray, states: np.ndarray, fresh: np.ndarray) -> None:
    """Write the states of one shard, shape (n, hidden), and which of them were read this day, shape (n,)."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(states.ravel(), pa.float32()), states.shape[1])
    columns = [pa.array(user_ids, pa.string()), pa.array(hashes, pa.string()), column, pa.array(fresh, pa.bool_())]
    write_whole(pa.table(columns, names=["user_id", "content_hash", "state", "fresh"]), path)


def write_whole(table: pa.Table, path: Path) -> None:
    """Write a Parquet file that a kill leaves whole or absent."""
    # Split into byte streams, float32 that were computed in bf16 lose half their bytes to compression.
    split = [f"{name}.list.element" for name in table.column_names if name == "state"]
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression="zstd", use_byte_stream_split=split or False, use_dictionary=not split)
    temporary.replace(path)
