"""The exact columns and types of user contexts, in memory and on disk.

Both the builder and the store end in `assemble`, so what is read back equals what was built.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa

from ml.contexts.stream import EVENT_FIELDS, PROFILE_FIELDS, UserContexts

USER_SCHEMA = pa.schema([("user_id", pa.string()), *((name, pa.string()) for name in PROFILE_FIELDS)])
EVENT_SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us")),
        ("event_time", pa.timestamp("us")),
        *((name, pa.string()) for name in EVENT_FIELDS),
    ]
)


def assemble(as_of: date, users: pa.Table, events: pa.Table, lengths: np.ndarray) -> UserContexts:
    """User contexts from tables already in order.

    Args:
        as_of: the snapshot day.
        users: columns of USER_SCHEMA, ascending by user_id.
        events: columns of EVENT_SCHEMA, users back to back in the order of `users`.
        lengths: shape (n_users,), events of each user.
    """
    frame = events.select(EVENT_SCHEMA.names).cast(EVENT_SCHEMA).to_pandas()
    frame.insert(0, "user", np.repeat(np.arange(len(lengths), dtype=np.int64), lengths))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return UserContexts(as_of, users.select(USER_SCHEMA.names).cast(USER_SCHEMA).to_pandas(), frame, offsets)
