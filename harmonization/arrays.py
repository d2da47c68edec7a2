"""Small conversions between this package's dataclasses and plain NumPy arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harmonization.errors import ShapeError

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


def frozen(values: ArrayLike) -> Floats:
    """Copy ``values`` to a float64 array that cannot be written to."""
    copy = np.array(values, dtype=np.float64, order="C")
    copy.setflags(write=False)
    return copy


def with_ones(design: Floats) -> Floats:
    """Put a column of ones, for the intercept, before a design (n, q): (n, 1 + q)."""
    return np.column_stack([np.ones(len(design)), design])


def text_to_array(text: str) -> NDArray[np.uint8]:
    """Write text as its UTF-8 bytes, so that any numeric container can carry it."""
    return np.frombuffer(text.encode(), dtype=np.uint8).copy()


def array_to_text(values: NDArray[Any]) -> str:
    """Read text back from its UTF-8 bytes."""
    return np.asarray(values, dtype=np.uint8).tobytes().decode()


def entry(arrays: Mapping[str, NDArray[Any]], name: str, owner: str) -> NDArray[Any]:
    """Return ``arrays[name]``, or raise ShapeError saying which field ``owner`` lacks."""
    if name not in arrays:
        raise ShapeError(
            f"The arrays of {owner} have no '{name}'; they have {sorted(arrays)}.",
            f"Pass what {owner}.arrays() returned, complete.",
        )
    return np.asarray(arrays[name])
