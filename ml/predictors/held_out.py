"""Held-out users: a share of the users by hash of their id, so that it depends on no other user and on no seed."""

from __future__ import annotations

import numpy as np
import pandas as pd


def held_out_users(user_ids: np.ndarray, share: float) -> np.ndarray:
    """Mask of the held-out users, shape (n_users,)."""
    hashes = pd.util.hash_array(np.asarray(user_ids, dtype=object))
    return np.asarray(hashes % 10_000 < share * 10_000)
