"""Pooled means of the covariate design, for filling missing values: both halves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harmonization.arrays import Arrays, Floats, entry
from harmonization.covariates import CovariateSpec, Value, observed_design
from harmonization.errors import CovariateError, ShapeError, named


@dataclass(frozen=True, eq=False)
class CovariateSums:
    """What a site sends about its covariates before missing values can be filled.

    Attributes
    ----------
    total : (q,) float64
        Sum of the observed values of every design column; for an indicator, a count of rows.
    count : (q,) float64
        How many values were observed.
    """

    total: Floats
    count: Floats

    def __add__(self, other: Self) -> Self:
        if self.total.shape != other.total.shape:
            raise ShapeError(
                f"Covariate sums of {self.total.size} and {other.total.size} columns cannot be "
                "added.",
                "Use the same CovariateSpec at every site.",
            )
        return type(self)(self.total + other.total, self.count + other.count)

    def arrays(self) -> Arrays:
        """Return the fields as arrays; adding these field by field adds the sums."""
        return {"total": self.total, "count": self.count}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read back what ``arrays`` returned."""
        total, count = (entry(arrays, name, cls.__name__) for name in ("total", "count"))
        return cls(total.astype(np.float64), np.rint(count.astype(np.float64)))


def covariate_sums(
    spec: CovariateSpec, columns: Mapping[str, Sequence[Value]], *, rows: int | None = None
) -> CovariateSums:
    """Sum the observed covariates of one site's training rows.

    Parameters
    ----------
    spec : CovariateSpec
        The covariates and their levels.
    columns : mapping of str to n values
        The site's table, training rows only.
    rows : int, optional
        Number of rows, for a spec without covariates.

    Returns
    -------
    CovariateSums
        Totals in the units of the columns.

    Raises
    ------
    CovariateError, ShapeError
        As ``design_matrix``, except that missing values are allowed.
    """
    z, _ = observed_design(spec, columns, rows=rows)
    seen = ~np.isnan(z)
    return CovariateSums(np.where(seen, z, 0.0).sum(axis=0), seen.sum(axis=0).astype(np.float64))


def solve_means(sums: CovariateSums, names: Sequence[str] = ()) -> Floats:
    """Solve the pooled mean of every design column, shape (q,), at the server.

    For an indicator this is the proportion of its level among the rows that state one.

    Raises
    ------
    CovariateError
        No site observed a column; the message names it if ``names`` (``spec.names``) is given.
    """
    empty = np.flatnonzero(sums.count <= 0)
    if empty.size:
        labels = [names[int(k)] if len(names) == sums.count.size else f"column {k}" for k in empty]
        raise CovariateError(
            f"No training row of any site has a value for covariate {named(labels)}.",
            "Take the covariate out of the study.",
        )
    return np.asarray(sums.total / sums.count)
