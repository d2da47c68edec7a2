"""A message's numbers as three vectors, and its layout: which numbers are whose.

The layout is the same at every site and tells nothing of the numbers. float32 and int8 arrays,
which are millions of weights or of their levels, have vectors of their own; all other numbers are
statistics.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import MyoFedError

Array = np.ndarray[Any, Any]

WHOLE, REAL = "int", "float"
"""Kinds of single numbers; arrays have their dtype's name."""
STATISTICS_KINDS = (WHOLE, REAL, "int64", "float64")
WEIGHTS_KIND, LEVELS_KIND = "float32", "int8"
KINDS = (*STATISTICS_KINDS, WEIGHTS_KIND, LEVELS_KIND)

Vectors = tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.int8]]
"""Statistics (n,), weights (m,) and levels (k,)."""


class NotSummable(MyoFedError):
    """A message holds something else than numbers, or another layout than was agreed."""

    code = "not-summable"
    public = "A site's answer does not have the form that can be summed."


_DTYPES = (np.float64, np.float32, np.int8)


@dataclass(frozen=True)
class Entry:
    """One field: its name, the kind of its numbers, and its shape."""

    name: str
    kind: str
    shape: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def layout_of(scalars: Mapping[str, object], arrays: Mapping[str, Array]) -> list[Entry]:
    """List the fields of a message, by name.

    Raises
    ------
    NotSummable
        A field holds a text, or numbers of another type.
    """
    entries = [Entry(name, type(value).__name__) for name, value in scalars.items()]
    entries += [Entry(name, str(array.dtype), array.shape) for name, array in arrays.items()]
    for entry in entries:
        if entry.kind not in KINDS:
            raise NotSummable(
                f"{entry.name} is a {entry.kind}.", "Only numbers can be summed over sites."
            )
    return sorted(entries, key=lambda entry: entry.name)


def written(layout: list[Entry]) -> str:
    """Write a layout as text."""
    return json.dumps([[one.name, one.kind, list(one.shape)] for one in layout])


def read(text: str) -> list[Entry]:
    """Read a layout back.

    Raises
    ------
    NotSummable
        It is none.
    """
    try:
        found = [
            Entry(str(name), str(kind), tuple(int(size) for size in shape))
            for name, kind, shape in json.loads(text)
        ]
    except (ValueError, TypeError, OverflowError, RecursionError):
        found = []
    if not found or not all(map(_is_field, found)):
        raise NotSummable("A layout cannot be read.", "Check that both sides run the same version.")
    return found


def _is_field(one: Entry) -> bool:
    if one.kind in (WHOLE, REAL):
        return one.shape == ()
    return one.kind in KINDS and min(one.shape, default=0) >= 0


def sizes(layout: list[Entry]) -> tuple[int, int, int]:
    """Give the numbers of statistics, of weights and of levels."""
    found = [0, 0, 0]
    for one in layout:
        found[_vector_of(one)] += one.size
    return found[0], found[1], found[2]


def _vector_of(one: Entry) -> int:
    return {WEIGHTS_KIND: 1, LEVELS_KIND: 2}.get(one.kind, 0)


def flattened(
    layout: list[Entry], scalars: Mapping[str, object], arrays: Mapping[str, Array]
) -> Vectors:
    """Give the vectors of a message, each in the order of its layout."""
    held: dict[str, Any] = {**scalars, **arrays}
    parts: tuple[list[Array], ...] = tuple([np.zeros(0, kind)] for kind in _DTYPES)
    for one in layout:
        place = _vector_of(one)
        parts[place].append(np.asarray(held[one.name], _DTYPES[place]).ravel())
    statistics, weights, levels = (np.concatenate(part) for part in parts)
    return statistics, weights, levels


def restored(
    layout: list[Entry], *vectors: NDArray[np.generic]
) -> tuple[dict[str, object], dict[str, Array]]:
    """Undo `flattened`: single numbers and arrays by name; whole numbers are whole again."""
    scalars: dict[str, object] = {}
    arrays: dict[str, Array] = {}
    places = [0] * len(vectors)
    for one in layout:
        vector = _vector_of(one)
        start = places[vector]
        places[vector] = start + one.size
        own = np.asarray(vectors[vector][start : start + one.size])
        if one.kind == WHOLE:
            scalars[one.name] = int(np.rint(own[0]))
        elif one.kind == REAL:
            scalars[one.name] = float(own[0])
        elif one.kind == "int64":
            arrays[one.name] = np.rint(own).astype(np.int64).reshape(one.shape)
        else:
            arrays[one.name] = own.astype(one.kind).reshape(one.shape)
    return scalars, arrays
