"""A batch's rows, block by block, so that what is computed from them stays in the cache.

A matrix of a site's rows is many times larger than a processor's cache, and each intermediate of
its size is memory that the system must first find: that took longer than the arithmetic.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harmonization.arrays import Floats

ROWS = 64
"""So many rows of 939 features are half a megabyte. Their products with a few covariates are too
small for BLAS to start threads, which would wait for each other at each block."""

FIRST = 16
"""About the mean of so many rows, the squares of all n are summed in one pass. It lies so near the
mean of all that the sum grows by no more than a factor of 1 + n / FIRST, mostly by next to none."""

Place = slice | NDArray[np.intp]


def place_of(own: NDArray[np.intp]) -> Place:
    """Give the place of rows, numbered in rising order: a slice, so no copy, where they adjoin."""
    first, last = int(own[0]), int(own[-1])
    return slice(first, last + 1) if last - first + 1 == len(own) else own


def blocks(own: NDArray[np.intp]) -> Iterator[tuple[Place, slice]]:
    """Cut a batch's rows: each block's place among all rows, and among those of the batch."""
    for start in range(0, len(own), ROWS):
        stop = min(start + ROWS, len(own))
        yield place_of(own[start:stop]), slice(start, stop)


def tiled(row: Floats, rows: int) -> Floats:
    """Repeat a row (p,) to meet the blocks of so many rows.

    NumPy runs through two whole blocks in one go, but through a block and a row row by row.
    """
    return np.tile(row, (min(rows, ROWS), 1))
