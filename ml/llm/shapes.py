"""Fixed shapes for scoring: what a prompt gives never depends on who else is scored.

In bfloat16 the fused attention rounds differently when the rectangle is a few tokens longer, enough to move a
probability by .005, so a prompt is padded to the length of its own bucket. Rows are independent of each other, and on
a CPU of their number (measured, and tested: bit-equal), so a batch has a power of two of rows, as many as fit, and the
last users of a bucket go in fewer. A GPU chooses its kernels by the number of rows as well: there every batch is full.

It does not know models or tokens. How to try it: `fixed_batches(np.array([30, 31, 90]), 4096, any_rows=True)`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

STEPS = ((32, 4), (128, 8), (256, 16))
"""Up to a length (tokens), buckets are so many tokens apart: 5 % padding over prompts of amazon14 or the world."""
STEP = 32
"""The same beyond."""
PASS_TOKENS = 100
"""What a pass costs beside its tokens, in tokens: up to so much filling is cheaper than one more pass."""


class FixedBatch(NamedTuple):
    """Prompts that are read together."""

    rows: np.ndarray
    """Which prompts, shape (n,), n <= n_rows; the other rows only fill up."""
    n_rows: int
    length: int


def bucket_lengths(lengths: np.ndarray) -> np.ndarray:
    """Padded length of each prompt, a function of its own length alone, shape (n,), int64."""
    longest = max(int(lengths.max(initial=1)), 1)
    ends: list[int] = []
    while not ends or ends[-1] < longest:
        here = ends[-1] if ends else 0
        ends.append(here + next((step for until, step in STEPS if here < until), STEP))
    grid = np.array(ends, dtype=np.int64)
    found: np.ndarray = grid[np.searchsorted(grid, lengths)]
    return found


def fixed_batches(lengths: np.ndarray, batch_tokens: int, *, any_rows: bool) -> list[FixedBatch]:
    """Every prompt once, longest first, so that memory peaks at once.

    Args:
        lengths: tokens of each prompt, shape (n,).
        batch_tokens: most padded tokens of a batch (one prompt at least).
        any_rows: batches may have fewer rows than fit; False where results depend on the number of rows.
    """
    padded = bucket_lengths(lengths)
    batches: list[FixedBatch] = []
    for length in sorted({int(value) for value in padded}, reverse=True):
        rows = np.flatnonzero(padded == length)
        full = 1 << (max(1, batch_tokens // length).bit_length() - 1)
        start = 0
        while start < len(rows):
            n_rows = full if not any_rows else _cheapest(min(len(rows) - start, full), length)[1]
            batches.append(FixedBatch(rows[start : start + n_rows], n_rows, length))
            start += n_rows
    return batches


@lru_cache(maxsize=65_536)
def _cheapest(n: int, length: int) -> tuple[int, int]:
    """Tokens that the remaining `n` prompts cost, and the rows of their next pass: all at once with rows that fill up,
    or a full half and then the rest."""
    if n <= 0:
        return 0, 0
    whole = 1 << (n - 1).bit_length()
    at_once = PASS_TOKENS + whole * length
    if whole == n:
        return at_once, whole
    split = PASS_TOKENS + whole // 2 * length + _cheapest(n - whole // 2, length)[0]
    return (at_once, whole) if at_once <= split else (split, whole // 2)
