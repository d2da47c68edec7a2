"""The form of every sum that leaves a site: a few named arrays, merged by plain addition."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self, TypeVar

import numpy as np

from common.statistics.checks import Array, Floats, Ints, StatisticsError


@dataclass(frozen=True, eq=False)
class Sums:
    """Base of the dataclasses whose fields are all arrays and sums over patients.

    A subclass names its whole-number fields in `integers`; they are int64, all others float64.
    Secure summation may hand whole numbers back as floats: `from_arrays` rounds them again.
    Addition never broadcasts: two sums of other shapes are an error, not a number.
    """

    integers: ClassVar[frozenset[str]] = frozenset()

    def arrays(self) -> dict[str, Array]:
        """Return the fields by name, for transport."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Rebuild the sums from `arrays()`.

        Raises:
            StatisticsError: if names are missing or unknown, a value is not finite, or a count is
                not a whole number (to 1e-3).
        """
        names = {field.name for field in fields(cls)}
        if set(arrays) != names:
            raise StatisticsError(
                f"{cls.__name__} has the arrays {sorted(names)}, but {sorted(arrays)} arrived.",
                "Check that both sides run the same version.",
            )
        typed: dict[str, Array] = {}
        for name, values in arrays.items():
            array = np.asarray(values, dtype=np.float64)
            if not np.isfinite(array).all():
                raise StatisticsError(
                    f"{cls.__name__}.{name} holds values that are NaN or infinite.",
                    "The site that sent them cannot be counted.",
                )
            if name in cls.integers:
                whole = np.rint(array)
                if (np.abs(array - whole) > 1e-3).any():
                    raise StatisticsError(
                        f"{cls.__name__}.{name} holds counts that are not whole numbers.",
                        "The site that sent them cannot be counted.",
                    )
                typed[name] = whole.astype(np.int64)
            else:
                typed[name] = array
        return cls(**typed)

    def __add__(self, other: Self) -> Self:
        if type(other) is not type(self):
            return NotImplemented
        added: dict[str, Array] = {}
        for name, mine in self.arrays().items():
            theirs = other.arrays()[name]
            if mine.shape != theirs.shape:
                raise StatisticsError(
                    f"{type(self).__name__}.{name} has shape {mine.shape} at one site and "
                    f"{theirs.shape} at another.",
                    "Both must sum over the same features.",
                )
            added[name] = np.asarray(mine + theirs)
        return type(self)(**added)


SumsT = TypeVar("SumsT", bound=Sums)


def total(parts: Iterable[SumsT]) -> SumsT:
    """Add up the sums of several sites.

    Raises:
        StatisticsError: if there are none.
    """
    listed = list(parts)
    if not listed:
        raise StatisticsError("There are no sums to add.", "At least one site must answer.")
    return functools.reduce(operator.add, listed)


@functools.lru_cache(maxsize=64)
def _upper(size: int) -> tuple[Ints, Ints]:
    rows, columns = np.triu_indices(size)
    return rows, columns


def pack_symmetric(matrix: Floats) -> Floats:
    """Return the upper triangle of a symmetric (k, k) matrix, row by row, as (k(k+1)/2,)."""
    return np.asarray(matrix[_upper(matrix.shape[0])], dtype=np.float64)


def unpack_symmetric(packed: Floats, size: int) -> Floats:
    """Undo `pack_symmetric` for a matrix of `size` rows.

    Raises:
        StatisticsError: if `packed` has not size(size+1)/2 entries.
    """
    if packed.shape != (size * (size + 1) // 2,):
        raise StatisticsError(
            f"A symmetric matrix of {size} rows was packed into {packed.size} numbers.",
            "Check that both sides mean the same features.",
        )
    matrix = np.empty((size, size))
    rows, columns = _upper(size)
    matrix[rows, columns] = packed
    matrix[columns, rows] = packed
    return matrix
