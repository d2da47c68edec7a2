"""Checks on the rows of one site, around what is computed from them."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harmonization.arrays import Floats
from harmonization.errors import (
    BatchError,
    HarmonizationError,
    NotFiniteError,
    ShapeError,
    named,
)

CONSTANT = 1e-12
"""A range below this part of the largest magnitude is rounding, not variation."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The checked rows of one site.

    Attributes
    ----------
    x : (n, p) float64
        Features. Who computes with them asks `look` whether they are finite.
    z : (n, q) float64
        Covariate design without intercept; q may be 0.
    groups : dict of str to (n_i,) int
        Row numbers of every batch, batches in sorted order.
    features : p names, optional
        Names of the columns of x, for messages.
    """

    x: Floats
    z: Floats
    groups: dict[str, NDArray[np.intp]]
    features: Sequence[str] | None = None

    def look(self, values: Floats) -> None:
        """Raise NotFiniteError where x has NaN or infinity, as ``values``, made from it, show."""
        if not all_finite(values):
            check_finite(self.x, "feature", self.features)


@contextmanager
def checked_rows(
    x: ArrayLike,
    z: ArrayLike | None,
    batch: Sequence[object] | NDArray[np.generic],
    *,
    features: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> Iterator[Rows]:
    """Check features, covariates and batch labels of one site, around the work on them.

    To read a site's rows takes as long as to sum them. So the values of x are not looked at
    beforehand: what is summed from them shows whether they are finite (`Rows.look`), and they are
    looked at before any error of the work leaves.

    Parameters
    ----------
    x : (n, p) array
        Features, in their own units.
    z : (n, q) array or None
        Covariate design; None stands for no covariates.
    batch : n labels
        Site or scanner of every row. Labels are compared as text.
    features, names : sequence of str, optional
        Names of the columns of x and of z, used in messages.

    Yields
    ------
    Rows

    Raises
    ------
    ShapeError
        The numbers of rows or names differ, or there is no row or no feature.
    NotFiniteError
        A value is NaN or infinite; the message names the columns and counts the values.
    BatchError
        A row has no batch label.
    """
    rows = _matrix(x, "the features x")
    n, p = rows.shape
    if n == 0 or p == 0:
        raise ShapeError(
            f"The features x have {n} rows and {p} columns.", "Pass at least one of each."
        )
    design = np.zeros((n, 0)) if z is None else _matrix(z, "the covariates z")
    if len(design) != n or len(batch) != n:
        raise ShapeError(
            f"There are {n} rows of features, {len(design)} of covariates and {len(batch)} "
            "batch labels.",
            "Pass the same rows, in the same order, to all three.",
        )
    _check_names(rows, "feature", features)
    try:
        check_finite(design, "covariate", names)
        # By column, a narrow design is summed up many times faster.
        yield Rows(rows, np.asfortranarray(design), _groups(batch), features)
    except HarmonizationError:
        check_finite(rows, "feature", features)
        raise


def check_finite(values: Floats, kind: str, names: Sequence[str] | None = None) -> None:
    """Refuse NaN and infinity in a matrix, naming the columns.

    Parameters
    ----------
    values : (n, k) float64
        What to look at.
    kind : str
        What a column is, in the message: "feature", "covariate".
    names : k names, optional
        Names of the columns; their numbers, from 0, stand in for them.

    Raises
    ------
    NotFiniteError
        At least one value is NaN or infinite.
    ShapeError
        The number of names is not the number of columns.
    """
    _check_names(values, kind, names)
    if all_finite(values):
        return
    bad = ~np.isfinite(values)
    columns = np.flatnonzero(bad.any(axis=0))
    labels = [f"column {k}" if names is None else names[int(k)] for k in columns]
    raise NotFiniteError(
        f"{int(bad.sum())} values are NaN or infinite, in {kind} {named(labels)}.",
        f"Remove or repair those rows, or leave out the {kind}: ComBat would spread them.",
    )


def all_finite(values: Floats) -> bool:
    """Tell whether no value is NaN or infinite."""
    # Neither leaves a sum finite. Large values may not either: then each is looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def centred(values: Floats) -> Floats:
    """Subtract the column means of one batch, exactly zero where a column is constant.

    The mean is subtracted twice: the second time removes the rounding error of the first, which
    matters where a mean is far above the spread. A column whose range is below ``CONSTANT``
    times its largest magnitude is constant, and comes back as exact zeros, so that sums over
    sites show a feature without variation as an exact zero whatever its size.
    """
    shifted: Floats = values - values.mean(axis=0)
    shifted -= shifted.mean(axis=0)
    shifted[:, constant_columns(values)] = 0.0
    return shifted


def constant_columns(values: Floats) -> NDArray[np.bool_]:
    """Tell which columns of one batch vary by no more than rounding, shape (k,)."""
    if values.shape[0] == 1:
        return np.ones(values.shape[1], dtype=bool)
    high, low = values.max(axis=0), values.min(axis=0)
    return np.asarray(high - low <= CONSTANT * np.maximum(high, -low))


def _check_names(values: Floats, kind: str, names: Sequence[str] | None) -> None:
    if names is not None and len(names) != values.shape[1]:
        raise ShapeError(
            f"There are {len(names)} {kind} names for {values.shape[1]} columns.",
            "Pass one name a column, or none at all.",
        )


def _matrix(values: ArrayLike, what: str) -> Floats:
    try:
        matrix = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ShapeError(
            f"{what.capitalize()} cannot be read as a matrix of numbers.",
            "Pass a rectangular array of numbers; text columns go through design_matrix.",
        ) from None
    if matrix.ndim != 2:
        raise ShapeError(
            f"{what.capitalize()} have {matrix.ndim} dimensions, not 2.",
            "Pass one row a sample and one column a variable.",
        )
    return matrix


def _groups(batch: Sequence[object] | NDArray[np.generic]) -> dict[str, NDArray[np.intp]]:
    # Most labels are plain text, and there are as many as rows.
    labels = [one.strip() if type(one) is str else _text(one) for one in batch]
    names = sorted(set(labels))
    if "" in names:
        raise BatchError(
            f"{labels.count('')} of {len(labels)} rows have no batch label.",
            "Give every row the name of its site or scanner.",
        )
    numbers = {name: number for number, name in enumerate(names)}
    codes = np.fromiter(map(numbers.__getitem__, labels), np.intp, len(labels))
    return {name: np.flatnonzero(codes == number) for name, number in numbers.items()}


def _text(label: object) -> str:
    blank = label is None or (isinstance(label, float) and math.isnan(label))
    return "" if blank else str(label).strip()
