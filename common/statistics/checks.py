"""The checks that every statistic makes of its input, and the error they raise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import MyoFedError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class StatisticsError(MyoFedError):
    """A statistic is not defined for what it was given."""

    code = "statistics-undefined"
    public = "A statistic could not be computed from what it was given."


def as_floats(values: Array, name: str, ndim: int) -> Floats:
    """Return `values` as finite float64 with `ndim` axes.

    Raises:
        StatisticsError: if the number of axes differs, or a value is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim:
        raise StatisticsError(
            f"{name} has {array.ndim} axes where {ndim} are needed.", "Check the caller."
        )
    if not np.isfinite(array).all():
        raise StatisticsError(
            f"{name} holds {int((~np.isfinite(array)).sum())} values that are NaN or infinite.",
            "Remove or repair them before they are summed.",
        )
    return array


def as_labels(labels: Array, patients: int) -> npt.NDArray[np.bool_]:
    """Return 0/1 `labels` (patients,) as booleans.

    Raises:
        StatisticsError: if the length is not `patients` or a label is neither 0 nor 1.
    """
    array = np.asarray(labels)
    if array.shape != (patients,):
        raise StatisticsError(
            f"There are labels of shape {array.shape} for {patients} patients.",
            "Give one label a patient.",
        )
    if not np.isin(array, (0, 1)).all():
        raise StatisticsError("A label is neither 0 nor 1.", "Code scar as 1 and no scar as 0.")
    return array.astype(np.bool_)


def as_weights(weights: Array | None, rows: int) -> Floats:
    """Return non-negative weights (rows,); ones where `weights` is None.

    Raises:
        StatisticsError: if the length is not `rows`, or a weight is negative or not finite.
    """
    if weights is None:
        return np.ones(rows)
    array = as_floats(weights, "The weights", 1)
    if array.shape != (rows,):
        raise StatisticsError(
            f"There are {array.size} weights for {rows} rows.", "Give one weight a row."
        )
    if (array < 0).any():
        raise StatisticsError("A weight is negative.", "Weights are zero or more.")
    return array
