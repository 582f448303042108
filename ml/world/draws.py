"""Draws that belong to things, not to the order of rows: hashes of whole numbers, as uniforms and normals.

    keys = key(seed, Stage.CLICKS, request_keys, ads)      # uint64, shape by broadcasting
    uniform(keys) < chance

The draw of a user's click on an ad in a request is the same whichever other rows there are, in whichever process and
under whichever policy: worlds that differ in one thing differ in what follows from it and in nothing else (common
random numbers). The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
number generators"), applied once per key part; it is no cryptography. It does not know what the parts mean.
"""

from __future__ import annotations

from functools import cache

import numpy as np

Keys = np.ndarray
"""uint64, any shape."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11, _S40 = (np.uint64(s) for s in (27, 30, 31, 11, 40))
_BITS = 16
_MASK = np.uint64(2**_BITS - 1)


def key(*parts: int | np.ndarray) -> Keys:
    """One key per combination of parts (whole numbers, negative ones too), broadcast against each other."""
    found: np.ndarray = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):  # numpy warns of scalars that wrap, not of arrays
        for part in parts:
            found = _mixed(found + _GOLDEN ^ np.asarray(part).astype(np.uint64))
    return np.asarray(found)


def uniform(keys: Keys) -> np.ndarray:
    """In [0, 1), float64, by the upper 53 bits."""
    found: np.ndarray = (keys >> _S11) * 2.0**-53
    return found


def uniform32(keys: Keys) -> np.ndarray:
    """In [0, 1), float32, by the upper 24 bits."""
    found: np.ndarray = (keys >> _S40).astype(np.float32) * np.float32(2.0**-24)
    return found


def normal(keys: Keys, which: int = 0) -> np.ndarray:
    """Standard normal, float32, by 16 bits of the key: `which` (0 to 3) takes one of four independent draws.

    The quantile function at the middles of 65,536 equal steps; no draw is further out than 4.2.
    """
    found: np.ndarray = _quantiles()[(keys >> np.uint64(which * _BITS)) & _MASK]
    return found


def gumbel(keys: Keys) -> np.ndarray:
    """Standard Gumbel, float64: argmax(log weight + gumbel) draws in proportion to the weights."""
    found: np.ndarray = -np.log(-np.log(uniform(keys) + 2.0**-54))
    return found


def _mixed(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> _S30)) * _FIRST
    x = (x ^ (x >> _S27)) * _SECOND
    found: np.ndarray = x ^ (x >> _S31)
    return found


@cache
def _quantiles() -> np.ndarray:
    """(65536,) float32."""
    from scipy.special import ndtri

    found: np.ndarray = ndtri((np.arange(2**_BITS) + 0.5) / 2**_BITS).astype(np.float32)
    return found
