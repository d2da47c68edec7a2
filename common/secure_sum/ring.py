"""Whole numbers modulo 2^8, 2^32, 2^64 or 2^96, as NumPy arrays.

A vector of n elements is an array (n, L) of uint32, L = 1, 2 or 3: the least significant 32 bits
first; or (n, 1) of uint8. Negative numbers are two's complements. Sums wrap round; who makes the
numbers sees to it that a sum of theirs does not, see `fixed_point`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.uint32] | NDArray[np.uint8]

LIMB_BITS = 32
BLOCK = 2**14
"""Elements that are taken through several steps at a time."""
_LOW = np.uint64(2**LIMB_BITS - 1)
_SHIFT = np.uint64(LIMB_BITS)


def add(one: Ring, other: Ring) -> Ring:
    """Add two vectors (n, L)."""
    if one.shape[1] == 1:
        return one + other
    found = np.empty_like(one)
    carry = np.zeros(one.shape[0], np.uint64)
    for limb in range(one.shape[1]):
        carry += one[:, limb]
        carry += other[:, limb]
        found[:, limb] = carry & _LOW
        carry >>= _SHIFT
    return found


def negate(one: Ring) -> Ring:
    """Give minus a vector (n, L)."""
    lowest = np.zeros_like(one)
    lowest[:, 0] = 1
    return add(~one, lowest)


def subtract(one: Ring, other: Ring) -> Ring:
    """Take a vector (n, L) from another."""
    if one.shape[1] == 1:
        return one - other
    return add(one, negate(other))


def blocks(size: int) -> Iterator[slice]:
    """Cut n elements into blocks that stay in a processor's cache from one step to the next."""
    for start in range(0, size, BLOCK):
        yield slice(start, min(start + BLOCK, size))


def is_negative(one: Ring) -> NDArray[np.bool_]:
    """Say which elements (n,) of a vector are negative."""
    return np.asarray(one[:, -1] >> np.uint32(LIMB_BITS - 1), bool)
