"""Typing errors: a letter dropped, doubled, swapped with the next one, or hit beside its key on a QWERTY keyboard.

    mistyped(["running shoes", "hotel"], rng)    # ["runing shoes", "hoyel"]

One error a text, never in the first letter of a word: such are most of the errors people make (Kukich 1992, "Techniques
for automatically correcting words in text": 80 % of misspellings are one of these four, few in the first letter). Works
on whole arrays of bytes, no text at a time. It does not know what the words mean.
"""

from __future__ import annotations

from typing import cast

import numpy as np

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SPACE, _A, _Z = (ord(c) for c in " az")


def mistyped(texts: list[str], rng: np.random.Generator) -> list[str]:
    """The texts, each with one error if it has a letter that may be wrong.

    Args:
        texts: ASCII, lower case.
        rng: where and which error.
    """
    if not texts:
        return []
    width = max(len(text) for text in texts) + 1
    chars = np.array(texts, dtype=f"S{width}").view(np.uint8).reshape(len(texts), width)
    letter = (chars >= _A) & (chars <= _Z)
    possible = letter.copy()
    possible[:, 0] = False
    possible[:, 1:] &= chars[:, :-1] != _SPACE
    at = np.argmax(rng.random(chars.shape) * possible, axis=1)
    row = np.arange(len(texts))
    kind = rng.integers(0, 4, len(texts))
    next_is_letter = letter[row, np.minimum(at + 1, width - 1)]
    kind = np.where((kind == 2) & ~next_is_letter, 0, kind)
    place = np.tile(np.arange(width), (len(texts), 1))
    here, p = np.arange(width), at[:, None]
    place += (kind == 0)[:, None] & (here >= p)
    place -= (kind == 1)[:, None] & (here > p)
    swaps = kind == 2
    place[row[swaps], at[swaps]] += 1
    place[row[swaps], at[swaps] + 1] -= 1
    found = np.take_along_axis(chars, np.clip(place, 0, width - 1), axis=1)
    hit = kind == 3
    side = rng.integers(0, 2, len(texts))
    found[row[hit], at[hit]] = _NEIGHBOURS[side[hit], chars[row[hit], at[hit]]]
    untouched = ~possible.any(axis=1)
    found[untouched] = chars[untouched]
    return cast("list[str]", np.ascontiguousarray(found).view(f"S{width}").ravel().astype(f"U{width}").tolist())


def _neighbours() -> np.ndarray:
    """(2, 256) uint8: the key left and right of each letter's; at the end of a row, the one beside it twice."""
    table = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    for keys in _ROWS:
        for i, key in enumerate(keys):
            table[0, ord(key)] = ord(keys[i - 1] if i else keys[1])
            table[1, ord(key)] = ord(keys[i + 1] if i + 1 < len(keys) else keys[i - 1])
    return table


_NEIGHBOURS = _neighbours()
