"""What a site sends to fit ComBat: sums over its rows, centred within each batch.

Centring both features and covariates within the batch removes the batch intercepts from the
regression without estimating them (Frisch-Waugh-Lovell), so no site's means need a column of
their own in what is sent.

A batch must live at one site. Its rows are centred about their common mean, which two sites
holding half of it each could not know. Naming batches ``site/scanner`` makes this true by
construction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harmonization.arrays import Arrays, Floats, entry, with_ones
from harmonization.blocks import FIRST, blocks, place_of, tiled
from harmonization.errors import ShapeError
from harmonization.rows import CONSTANT, Rows, centred, checked_rows, constant_columns

_FIELDS = ("count", "sum_x", "sum_z", "s_zz", "s_zx", "s_xx_diag")


@dataclass(frozen=True, eq=False)
class CombatSums:
    """Sufficient statistics of ComBat's regression, of one site or of many added up.

    Attributes
    ----------
    count : int
        Rows, N.
    sum_x : (p,) float64
        Sum of the features, in their units.
    sum_z : (q,) float64
        Sum of the covariate design.
    s_zz : (q, q) float64
        Cross-products of the covariates, centred within each batch.
    s_zx : (q, p) float64
        Cross-products of covariates and features, both centred within each batch.
    s_xx_diag : (p,) float64
        Sums of squares of the features, centred within each batch.
    reference : CombatSums or None
        The same six sums over the rows of the reference batch alone, where a study has one. A
        site that does not hold that batch sends zeros, so that all answers have one shape.
    """

    count: int
    sum_x: Floats
    sum_z: Floats
    s_zz: Floats
    s_zx: Floats
    s_xx_diag: Floats
    reference: Self | None = None

    def __add__(self, other: Self) -> Self:
        if self.s_zx.shape != other.s_zx.shape:
            raise ShapeError(
                f"ComBat sums over {self.s_zx.shape} and {other.s_zx.shape} covariates and "
                "features cannot be added.",
                "Use the same features and the same CovariateSpec at every site.",
            )
        if (self.reference is None) != (other.reference is None):
            raise ShapeError(
                "Of two ComBat sums, one was made with a reference batch and one without.",
                "Pass the same reference_batch at every site, also where it is not held.",
            )
        block = None
        if self.reference is not None and other.reference is not None:
            block = self.reference + other.reference
        return type(self)(
            self.count + other.count,
            self.sum_x + other.sum_x,
            self.sum_z + other.sum_z,
            self.s_zz + other.s_zz,
            self.s_zx + other.s_zx,
            self.s_xx_diag + other.s_xx_diag,
            block,
        )

    def scaled(self, scale: ArrayLike) -> Self:
        """Return the sums of ``x / scale``, scale being (p,) and positive.

        For carriers of limited range: with powers of two this loses nothing, and
        ``sums.scaled(s).scaled(1 / s)`` is ``sums``. Features may differ by 20 orders of size.
        """
        by = np.asarray(scale, dtype=np.float64)
        if by.shape != self.sum_x.shape or not (np.isfinite(by) & (by > 0)).all():
            raise ShapeError(
                f"The scale is not {self.sum_x.size} positive numbers.",
                "Pass one finite number above 0 a feature.",
            )
        block = None if self.reference is None else self.reference.scaled(by)
        x, zx, xx = self.sum_x / by, self.s_zx / by, self.s_xx_diag / by / by
        return type(self)(self.count, x, self.sum_z, self.s_zz, zx, xx, block)

    def arrays(self) -> Arrays:
        """Return the fields as float64 arrays; adding these field by field adds the sums.

        The reference block, where there is one, has the prefix ``reference.``.
        """
        own: Arrays = {name: np.asarray(getattr(self, name), np.float64) for name in _FIELDS}
        if self.reference is not None:
            own |= {f"reference.{name}": a for name, a in self.reference.arrays().items()}
        return own

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read back what ``arrays`` returned, or a sum of such.

        Raises ShapeError where a field is absent or the shapes do not fit each other.
        """
        values = {name: entry(arrays, name, cls.__name__).astype(np.float64) for name in _FIELDS}
        q, p = values["s_zx"].shape if values["s_zx"].ndim == 2 else (-1, -1)
        wrong = [name for name, shape in combat_shapes(p, q).items() if values[name].shape != shape]
        if wrong:
            raise ShapeError(
                f"In the arrays of {cls.__name__} the shapes of {wrong} do not fit s_zx, "
                f"{values['s_zx'].shape}.",
                "Pass what CombatSums.arrays() returned, complete.",
            )
        prefix = "reference."
        inner = {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
        count = round(float(values.pop("count")))
        return cls(count, **values, reference=cls.from_arrays(inner) if inner else None)


def combat_shapes(features: int, covariates: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of `CombatSums` over so many features and design columns."""
    p, q = features, covariates
    return {
        "count": (),
        "sum_x": (p,),
        "sum_z": (q,),
        "s_zz": (q, q),
        "s_zx": (q, p),
        "s_xx_diag": (p,),
    }


def combat_sums(
    x: ArrayLike,
    z: ArrayLike | None,
    batch: Sequence[object] | NDArray[np.generic],
    *,
    reference_batch: str | None = None,
    features: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> CombatSums:
    """Sum up one site's training rows for the fit of ComBat's reference parameters.

    Parameters
    ----------
    x : (n, p) array
        Features, in their units.
    z : (n, q) array or None
        Covariate design, from ``design_matrix``; None for no covariates.
    batch : n labels
        Site or scanner of every row; a batch must not continue at another site.
    reference_batch : str, optional
        Name of the reference batch of the study, given at every site whether it holds it or not.
        The site that holds it then also sends that batch's own six sums, which show its means.
        To send less, see ``residual_sums``.
    features, names : sequence of str, optional
        Names of the columns of x and z, for messages.

    Returns
    -------
    CombatSums
        No minimum, maximum or per-batch value is in it.

    Raises
    ------
    NotFiniteError, ShapeError, BatchError
        As ``checked_rows``.

    References
    ----------
    Johnson, Li & Rabinovic 2007, Biostatistics 8:118 (the model); Chen et al. 2022 (sums in
    place of rows); Frisch-Waugh-Lovell (centring in place of batch columns).
    """
    with checked_rows(x, z, batch, features=features, names=names) as rows:
        own = _sums(rows, list(rows.groups))
        if reference_batch is None:
            return own
        held = [name for name in rows.groups if name == str(reference_batch).strip()]
        return replace(own, reference=_sums(rows, held))


def _sums(rows: Rows, batches: list[str]) -> CombatSums:
    p, q = rows.x.shape[1], rows.z.shape[1]
    count, sum_x, sum_z = 0, np.zeros(p), np.zeros(q)
    s_zz, s_zx, s_xx = np.zeros((q, q)), np.zeros((q, p)), np.zeros(p)
    for name in batches:
        own = rows.groups[name]
        own_z = rows.z[place_of(own)]
        z = centred(own_z)
        own_x, own_zx, own_xx = _within(rows, own, z)
        count += len(own)
        sum_x += own_x
        sum_z += own_z.sum(axis=0)
        s_zz += z.T @ z
        s_zx += own_zx
        s_xx += own_xx
    return CombatSums(count, sum_x, sum_z, s_zz, s_zx, s_xx)


@np.errstate(over="ignore", invalid="ignore")
def _within(rows: Rows, own: NDArray[np.intp], z: Floats) -> tuple[Floats, Floats, Floats]:
    """Sum a batch's features, and their products with its centred covariates and themselves.

    In one pass: squares are summed about the mean of the first rows (`FIRST`). As with `centred`,
    features that are constant in the batch give exact zeros.
    """
    n, p = len(own), rows.x.shape[1]
    about = rows.x[place_of(own[:FIRST])].mean(axis=0)
    middle, design = tiled(about, n), with_ones(z)
    products, xx = np.zeros((p, design.shape[1])), np.zeros(p)
    for place, within in blocks(own):
        part = rows.x[place]
        shifted = part - middle[: len(part)]
        # This way round BLAS takes two thirds of the time.
        products += shifted.T @ design[within]
        xx += np.einsum("ij,ij->j", shifted, shifted)
    rows.look(xx)
    # Few columns, if any, vary so little, or so much, that their extremes must be looked at.
    near = np.flatnonzero((np.sqrt(xx / n) <= 10 * CONSTANT * np.abs(about)) | np.isinf(xx))
    constant = near[constant_columns(rows.x[np.ix_(own, near)])]
    again, zx = products[:, 0], products[:, 1:].T
    xx -= again**2 / n
    zx[:, constant], xx[constant] = 0.0, 0.0
    return n * about + again, zx, xx
