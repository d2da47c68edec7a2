"""The second round of the two-round fit: residual sums, once beta is known.

One round gets the residual sum of squares as a difference of sums, which loses digits where the
covariates explain nearly everything. Two rounds get it directly, and let the holder of a
reference batch send only that batch's mean residual and spread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harmonization.arrays import Arrays, Floats, entry
from harmonization.blocks import place_of
from harmonization.errors import ShapeError
from harmonization.rows import Rows, centred, checked_rows

_FIELDS = ("count", "total", "rss")


@dataclass(frozen=True, eq=False)
class ResidualSums:
    """Sums of the residuals ``x - z beta``, of one site or of many added up.

    Attributes
    ----------
    count : int
        Rows, N.
    total : (p,) float64
        Sum of the residuals, intercepts included, in the units of the features.
    rss : (p,) float64
        Sum of squared residuals, centred within each batch.
    reference : ResidualSums or None
        The same over the rows of the reference batch alone; zeros where a site does not hold it.
    """

    count: int
    total: Floats
    rss: Floats
    reference: Self | None = None

    def __add__(self, other: Self) -> Self:
        same = (self.reference is None) == (other.reference is None)
        if self.rss.shape != other.rss.shape or not same:
            raise ShapeError(
                f"Residual sums of {self.rss.size} and {other.rss.size} features, or only one of "
                "them with a reference batch, cannot be added.",
                "Use the same features and the same reference_batch at every site.",
            )
        block = None
        if self.reference is not None and other.reference is not None:
            block = self.reference + other.reference
        total, rss = self.total + other.total, self.rss + other.rss
        return type(self)(self.count + other.count, total, rss, block)

    def arrays(self) -> Arrays:
        """Return the fields as float64 arrays; adding these field by field adds the sums."""
        own: Arrays = {name: np.asarray(getattr(self, name), np.float64) for name in _FIELDS}
        if self.reference is not None:
            own |= {f"reference.{name}": a for name, a in self.reference.arrays().items()}
        return own

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read back what ``arrays`` returned, or a sum of such."""
        count, total, rss = (
            entry(arrays, name, cls.__name__).astype(np.float64) for name in _FIELDS
        )
        prefix = "reference."
        inner = {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
        block = cls.from_arrays(inner) if inner else None
        return cls(round(float(count)), total, rss, block)


def residual_sums(
    x: ArrayLike,
    z: ArrayLike | None,
    batch: Sequence[object] | NDArray[np.generic],
    beta: ArrayLike,
    *,
    reference_batch: str | None = None,
    features: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> ResidualSums:
    """Sum up the residuals of one site's training rows about the pooled beta.

    Parameters
    ----------
    x, z, batch, features, names
        As in ``combat_sums``, and the same rows.
    beta : (q, p) array
        From ``solve_beta``, in units of the feature a unit of the covariate.
    reference_batch : str, optional
        Name of the reference batch, given at every site. Its holder then also sends that batch's
        number of rows, sum of residuals and sum of squares, and nothing more: the reference
        parameters are that batch's mean residual and spread, and cannot be had from less.

    Returns
    -------
    ResidualSums

    Raises
    ------
    ShapeError
        ``beta`` does not fit the rows, or as ``checked_rows``.
    NotFiniteError, BatchError
        As ``checked_rows``.
    """
    with checked_rows(x, z, batch, features=features, names=names) as rows:
        slopes = np.asarray(beta, dtype=np.float64)
        shape = (rows.z.shape[1], rows.x.shape[1])
        if slopes.shape != shape:
            raise ShapeError(
                f"beta has the shape {slopes.shape}; {shape[0]} covariates and {shape[1]} features "
                f"need {shape}.",
                "Pass the beta that solve_beta returned for these columns.",
            )
        own = _residuals(rows, slopes, list(rows.groups))
        if reference_batch is None:
            return own
        held = [name for name in rows.groups if name == str(reference_batch).strip()]
        return ResidualSums(own.count, own.total, own.rss, _residuals(rows, slopes, held))


def _residuals(rows: Rows, beta: Floats, batches: list[str]) -> ResidualSums:
    p = rows.x.shape[1]
    count, total, rss = 0, np.zeros(p), np.zeros(p)
    for name in batches:
        own = place_of(rows.groups[name])
        x, z = rows.x[own], rows.z[own]
        rows.look(x)
        inner = centred(x) - centred(z) @ beta
        count += len(x)
        total += x.sum(axis=0) - z.sum(axis=0) @ beta
        rss += np.einsum("ij,ij->j", inner, inner)
    return ResidualSums(count, total, rss)
