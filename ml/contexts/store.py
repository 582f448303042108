"""Stores user contexts and training examples as Parquet; reading gives back exactly what was written.

One row a user, ascending by user_id, in parts: profile, stream, rendered prompt and a content hash that
changes when, and only when, a predictor could see something else. A directory is published whole (see
`ml.artifacts`). Equal contexts give equal bytes.
"""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.artifacts import fingerprint_of, publish, read_manifest, work_dir
from ml.contexts.render import PROMPT_VERSION, Prompts
from ml.contexts.schema import EVENT_SCHEMA, USER_SCHEMA, assemble
from ml.contexts.stream import EVENT_FIELDS, PROFILE_FIELDS, TrainingExamples, UserContexts
from ml.errors import BadInput

USERS_PER_PART = 20_000
TARGET_SCHEMA = pa.schema(
    [
        ("user", pa.int64()),
        ("position", pa.int64()),
        ("advertiser_id", pa.string()),
        *((name, pa.timestamp("us")) for name in ("event_time", "known_at", "visible_until")),
        ("interest", pa.string()),
    ]
)
CATALOGUE_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("advertiser_id", "name", "vertical")),
        *((name, pa.int64()) for name in ("conversions", "users")),
    ]
)


def write_contexts(contexts: UserContexts, directory: Path, prompts: Prompts | None = None) -> dict[str, Any]:
    """Write contexts to `directory` as `part-NNNNN.parquet` and a manifest, replacing what is there.

    Args:
        contexts: the streams.
        directory: where; it exists complete afterwards.
        prompts: of the same users; without them the columns prompt, n_tokens and n_dropped are absent.

    Returns:
        The manifest: as_of, users, events, prompt_version and the files.
    """
    about = {
        "as_of": contexts.as_of,
        "users": len(contexts),
        "events": len(contexts.events),
        "prompt_version": PROMPT_VERSION,
    }
    work = work_dir(directory, fingerprint_of(about))
    rows = contexts_table(contexts, prompts)
    for part, start in enumerate(range(0, max(len(rows), 1), USERS_PER_PART)):
        path = work / f"part-{part:05d}.parquet"
        pq.write_table(rows.slice(start, USERS_PER_PART), path, compression="zstd")
    return publish(work, directory, {**about, "as_of": contexts.as_of.isoformat()})


def read_contexts(directory: Path, user_ids: list[str] | None = None) -> UserContexts:
    """The contexts that `write_contexts` wrote.

    Args:
        directory: published contexts.
        user_ids: only these users; those without a context are left out.

    Raises:
        BadInput: no complete contexts in `directory`.
    """
    about = _manifest(directory, "user contexts")
    rows = _rows(directory, ["user_id", "profile", "events"], user_ids).combine_chunks()
    profile, events = _struct(rows["profile"]), rows["events"].combine_chunks()
    users = pa.table([rows["user_id"], *profile.flatten()], names=USER_SCHEMA.names)
    lengths = pc.list_value_length(events).to_numpy(zero_copy_only=False).astype(np.int64)
    stream = pa.table(events.flatten().flatten(), names=EVENT_SCHEMA.names)
    return assemble(date.fromisoformat(about["as_of"]), users, stream, lengths)


def read_columns(directory: Path, columns: list[str], user_ids: list[str] | None = None) -> pd.DataFrame:
    """Some columns of published contexts, one row a user (see `read_contexts`), such as prompt, content_hash."""
    _manifest(directory, "user contexts")
    frame: pd.DataFrame = _rows(directory, columns, user_ids).to_pandas()
    return frame


def tokens_of(directory: Path, user_ids: np.ndarray) -> int:
    """Prompt tokens of some users of published contexts."""
    found = read_columns(directory, ["user_id", "n_tokens"])
    return int(found.loc[found["user_id"].isin(user_ids), "n_tokens"].sum())


def write_examples(examples: TrainingExamples, directory: Path) -> dict[str, Any]:
    """Write training examples to `directory`: contexts/, targets.parquet, catalogue.parquet and a manifest."""
    about = {
        "as_of": examples.contexts.as_of.isoformat(),
        "users": len(examples.contexts),
        "targets": len(examples.targets),
        "catalogue": len(examples.catalogue),
    }
    work = work_dir(directory, fingerprint_of(about))
    write_contexts(examples.contexts, work / "contexts")
    for name, frame, schema in (
        ("targets", examples.targets, TARGET_SCHEMA),
        ("catalogue", examples.catalogue, CATALOGUE_SCHEMA),
    ):
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata(None)
        pq.write_table(table, work / f"{name}.parquet", compression="zstd")
    return publish(work, directory, about)


def read_examples(directory: Path) -> TrainingExamples:
    """The examples that `write_examples` wrote.

    Raises:
        BadInput: no complete examples in `directory`.
    """
    _manifest(directory, "training examples")
    targets, catalogue = (pq.read_table(directory / f"{name}.parquet").to_pandas() for name in ("targets", "catalogue"))
    return TrainingExamples(read_contexts(directory / "contexts"), targets, catalogue)


def contexts_table(contexts: UserContexts, prompts: Prompts | None = None) -> pa.Table:
    """One row a user: the table that `write_contexts` writes (columns in the design's order)."""
    n = len(contexts)
    events = pa.Table.from_pandas(contexts.events[EVENT_SCHEMA.names], EVENT_SCHEMA, preserve_index=False)
    users = pa.Table.from_pandas(contexts.users[USER_SCHEMA.names], USER_SCHEMA, preserve_index=False)
    conversions = np.bincount(contexts.conversions()["user"].to_numpy(), minlength=n)
    stream = pa.ListArray.from_arrays(pa.array(contexts.offsets, pa.int32()), _struct(events))
    rendered = {}
    if prompts is not None:
        rendered = {
            "prompt": pa.array(prompts.text, pa.string()),
            "n_tokens": pa.array(prompts.n_tokens, pa.int64()),
            "n_dropped": pa.array(prompts.n_dropped, pa.int64()),
        }
    return pa.table(
        {
            "user_id": users["user_id"],
            "as_of": pa.repeat(pa.scalar(contexts.as_of, pa.date32()), n),
            "profile": _struct(users.select(list(PROFILE_FIELDS))),
            "events": stream,
            **rendered,
            "n_events": pa.array(np.diff(contexts.offsets), pa.int64()),
            "n_conversions": pa.array(conversions, pa.int64()),
            "content_hash": pa.array(content_hashes(contexts), pa.string()),
            "prompt_version": pa.repeat(PROMPT_VERSION, n),
        }
    )


def content_hashes(contexts: UserContexts) -> list[str]:
    """sha256 over prompt version, profile and every event of the stream, one hex string a user."""
    events = contexts.events
    stamps = events[["time", "event_time"]].astype("datetime64[us]").to_numpy().astype("<i8")
    words, ends = _joined([events[name] for name in EVENT_FIELDS])
    profiles, profile_ends = _joined([contexts.users[name] for name in PROFILE_FIELDS])
    hashes = []
    bounds = zip(contexts.offsets[:-1].tolist(), contexts.offsets[1:].tolist(), strict=True)
    for user, (start, end) in enumerate(bounds):
        digest = hashlib.sha256(PROMPT_VERSION.encode())
        digest.update(profiles[profile_ends[user] : profile_ends[user + 1]])
        digest.update(stamps[start:end].tobytes())
        digest.update(words[ends[start] : ends[end]])
        hashes.append(digest.hexdigest())
    return hashes


def _joined(columns: list[Any]) -> tuple[bytes, np.ndarray]:
    """All values of a row as one run of bytes, all rows back to back; and where each row starts and ends."""
    arrays = [pa.array(column, pa.large_string(), from_pandas=True) for column in columns]
    marked = [pc.if_else(pc.is_null(a), "\x00", a) for a in arrays]
    rows = pc.binary_join_element_wise(
        *marked, pa.scalar("\x1e", pa.large_string()), pa.scalar("\x1f", pa.large_string())
    )
    ends = np.concatenate([[0], np.cumsum(pc.binary_length(rows).to_numpy(zero_copy_only=False))])
    return "".join(rows.to_pylist()).encode(), ends.astype(np.int64)


def _struct(table: pa.Table | pa.ChunkedArray) -> pa.StructArray:
    """A table's columns as one struct array; a chunked struct array as one chunk."""
    if isinstance(table, pa.ChunkedArray):
        return table.combine_chunks()
    return pa.StructArray.from_arrays([c.combine_chunks() for c in table.columns], names=table.column_names)


def _rows(directory: Path, columns: list[str], user_ids: list[str] | None) -> pa.Table:
    chosen = None if user_ids is None else [("user_id", "in", user_ids)]
    parts = [pq.read_table(p, columns=columns, filters=chosen) for p in sorted(directory.glob("part-*.parquet"))]
    return pa.concat_tables(parts)


def _manifest(directory: Path, what: str) -> dict[str, Any]:
    manifest = read_manifest(directory)
    if manifest is None:
        raise BadInput(
            f"no complete {what} here", where=str(directory), remedy="materialize the asset that writes them"
        )
    return manifest
