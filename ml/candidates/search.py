"""Exact search: the ads of the largest dot product with each user, however many ads there are.

Users and ads are multiplied in blocks, so memory does not grow with their numbers: a block of scores, and the best so
far. Of a later block only what beats a user's worst is looked at. Equal scores go to the ad that stands first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

USERS_AT_ONCE, ADS_AT_ONCE = 256, 32_768
"""A block of scores: 32 MiB."""
_CROWDED = 4
"""From this many times `n` newcomers of one user in a block, all users' best of the block are taken instead."""


def top_ads(
    users: np.ndarray,
    ads: np.ndarray,
    n: int,
    barred: Sequence[np.ndarray | None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The n best ads of each user.

    Args:
        users: shape (n_users, width), float32.
        ads: shape (n_ads, width), float32.
        n: at most n_ads.
        barred: of each user the ads (ascending) that he must not get, or None.

    Returns:
        Columns (int64) and scores (float32), both (n_users, n), best first; -1 and -inf where too few ads are left.
    """
    columns = np.full((len(users), n), -1, dtype=np.int64)
    scores = np.full((len(users), n), -np.inf, dtype=np.float32)
    if n == 0:
        return columns, scores
    for first in range(0, len(users), USERS_AT_ONCE):
        mine = slice(first, first + USERS_AT_ONCE)
        excluded = barred[mine] if barred is not None else None
        columns[mine], scores[mine] = _search(users[mine], ads, n, excluded)
    return columns, scores


def _search(
    users: np.ndarray, ads: np.ndarray, n: int, barred: Sequence[np.ndarray | None] | None
) -> tuple[np.ndarray, np.ndarray]:
    columns = np.full((len(users), n), -1, dtype=np.int64)
    scores = np.full((len(users), n), -np.inf, dtype=np.float32)
    for start in range(0, len(ads), ADS_AT_ONCE):
        block = users @ ads[start : start + ADS_AT_ONCE].T
        for row, excluded in enumerate(barred or ()):
            if excluded is not None:
                low, high = np.searchsorted(excluded, [start, start + block.shape[1]])
                block[row, excluded[low:high] - start] = -np.inf
        place, found = _newcomers(block, scores[:, -1:], n)
        both = np.concatenate([scores, found], axis=1)
        # Stable: ads of earlier blocks stand first, so they win ties.
        order = np.argsort(-both, axis=1, kind="stable")[:, :n]
        places = np.concatenate([columns, np.where(place < 0, -1, place + start)], axis=1)
        columns, scores = np.take_along_axis(places, order, axis=1), np.take_along_axis(both, order, axis=1)
    return columns, scores


def _newcomers(block: np.ndarray, worst: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and scores of what beats `worst` in each row, in column order, padded with -1 and -inf."""
    better = block > worst
    counts = better.sum(axis=1)
    most = int(counts.max(initial=0))
    if most > _CROWDED * n:
        place = top_columns(block, min(n, block.shape[1]))
        score = np.take_along_axis(block, place, axis=1)
        return np.where(np.isneginf(score), -1, place), score
    row, column = np.nonzero(better)
    slot = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = np.full((len(block), most), -1, dtype=np.int64)
    score = np.full((len(block), most), -np.inf, dtype=np.float32)
    place[row, slot], score[row, slot] = column, block[row, column]
    return place, score


def top_columns(scores: np.ndarray, n: int) -> np.ndarray:
    """Columns of the n largest values of each row, largest first; ties go to the lower column.

    Args:
        scores: shape (rows, columns), columns >= n.

    Returns:
        shape (rows, n).
    """
    if n == 0:
        return np.zeros((len(scores), 0), dtype=np.int64)
    # A partition alone would break ties at the n-th value arbitrarily: fill the last places from the left.
    nth = -np.partition(-scores, n - 1, axis=1)[:, n - 1 : n]
    above, tied = scores > nth, scores == nth
    room = n - above.sum(axis=1, keepdims=True)
    keep = above | (tied & (np.cumsum(tied, axis=1) <= room))
    columns = np.nonzero(keep)[1].reshape(len(scores), n)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
