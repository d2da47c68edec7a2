"""The server half of the fit: from sums to the reference that every site standardises by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harmonization.arrays import Arrays, Floats, array_to_text, entry, frozen, text_to_array
from harmonization.errors import CollinearError, NotFiniteError, ShapeError, SolveError
from harmonization.residuals import ResidualSums
from harmonization.sums import CombatSums

COLLINEAR = 1e-10
"""A covariate of which less than this part is its own is a combination of the others."""

EXPLAINED = 1e-12
"""A feature of which less than this part is left by the covariates has nothing to harmonize."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What all sites standardise by. Its arrays are read-only.

    Attributes
    ----------
    alpha : (p,) float64
        Intercept: the average of the batch intercepts weighted by their rows, or the reference
        batch's own. In the units of the feature.
    beta : (q, p) float64
        Covariate effects, in units of the feature a unit of the covariate.
    sigma : (p,) float64
        Residual standard deviation within batches, ``sqrt(RSS / N)``; 1 where keep is False.
    keep : (p,) bool
        False for features that do not vary within batches; these are left as they are.
    count : int
        Training rows behind alpha and sigma: all, or those of the reference batch.
    batch : str
        Name of the reference batch; empty where there is none.
    """

    alpha: Floats
    beta: Floats
    sigma: Floats
    keep: NDArray[np.bool_]
    count: int
    batch: str = ""

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "sigma"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        keep = np.array(self.keep, dtype=bool)
        keep.setflags(write=False)
        object.__setattr__(self, "keep", keep)
        p = self.alpha.shape
        if len(p) != 1 or self.sigma.shape != p or keep.shape != p or self.beta.shape[1:] != p:
            raise ShapeError(
                f"alpha {p}, beta {self.beta.shape}, sigma {self.sigma.shape} and keep "
                f"{keep.shape} are not of the same features.",
                "Pass alpha, sigma and keep of shape (p,) and beta of shape (q, p).",
            )
        finite = all(np.isfinite(a).all() for a in (self.alpha, self.beta, self.sigma))
        if not finite or (self.sigma <= 0).any():
            raise NotFiniteError(
                "The reference has values that are not finite, or a sigma that is not above 0.",
                "Check the sums it was solved from for overflow, and the file it was read from.",
            )

    def arrays(self) -> Arrays:
        """Return the fields as numeric arrays, for saving or sending."""
        count, name = np.asarray(self.count, np.int64), text_to_array(self.batch)
        own: Arrays = {"alpha": self.alpha, "beta": self.beta, "sigma": self.sigma}
        return own | {"keep": self.keep, "count": count, "batch": name}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read back what ``arrays`` returned."""
        fields = ("alpha", "beta", "sigma", "keep", "count", "batch")
        alpha, beta, sigma, keep, count, name = (entry(arrays, f, cls.__name__) for f in fields)
        return cls(alpha, beta, sigma, keep.astype(bool), int(count), array_to_text(name))


def solve_beta(sums: CombatSums, names: Sequence[str] = ()) -> Floats:
    """Solve the pooled covariate effects from the sums of all sites.

    Parameters
    ----------
    sums : CombatSums
        Added over all training sites.
    names : q names, optional
        Names of the design columns (``CovariateSpec.names``), for messages.

    Returns
    -------
    (q, p) float64
        ``S_zz^-1 S_zx``: the slopes of the least-squares fit with one intercept a batch.

    Raises
    ------
    CollinearError
        A covariate is constant within every batch, or a combination of other covariates.
    NotFiniteError
        The sums hold NaN or infinity.
    """
    for name, values in sums.arrays().items():
        if not np.isfinite(values).all():
            raise NotFiniteError(
                f"The field '{name}' of the ComBat sums is not finite.",
                "Look for the site whose answer is broken, or for features near 1e150 in size.",
            )
    q = sums.s_zz.shape[0]
    labels = list(names) if len(names) == q else [f"column {k}" for k in range(q)]
    spread = np.sqrt(np.diag(sums.s_zz).clip(min=0.0))
    flat = [labels[k] for k in np.flatnonzero(spread == 0)]
    if flat:
        raise CollinearError(
            f"Within every batch, the covariate {', '.join(map(repr, flat))} is the same in all "
            "rows, so its effect cannot be told from the batch effect.",
            "Take it, or the level that no row has, out of the covariates.",
        )
    correlation = sums.s_zz / np.outer(spread, spread)
    _refuse_collinear(correlation, labels)
    beta: Floats = np.linalg.solve(correlation, sums.s_zx / spread[:, None]) / spread[:, None]
    return beta


def solve_reference(
    sums: CombatSums,
    residuals: ResidualSums | None = None,
    *,
    reference_batch: str | None = None,
    names: Sequence[str] = (),
) -> Reference:
    """Solve alpha, beta and sigma from the sums of all sites.

    With a reference batch r, beta still comes from all rows. Given beta, the least-squares
    intercept of r is the mean of ``x - z beta`` over its rows, and its residual sum of squares is
    ``S_xx - 2 beta' S_zx + beta' S_zz beta`` with sums over its rows alone (the cross term does
    not cancel, as beta is not r's own slope). So six sums over r, or after beta is known three,
    are enough; no other site contributes to them.

    Parameters
    ----------
    sums : CombatSums
        Added over all training sites.
    residuals : ResidualSums, optional
        Of the second round, with ``solve_beta(sums)``, added over the same sites. Without it
        sigma comes from ``sums`` alone, in one round.
    reference_batch : str, optional
        Name of the reference batch, if ``sums`` or ``residuals`` were made with one.
    names : q names, optional
        Names of the design columns, for messages.

    Returns
    -------
    Reference
        ``sigma^2 = RSS / N``, not ``RSS / (N - q)``.

    Raises
    ------
    CollinearError, NotFiniteError
        As ``solve_beta``.
    SolveError
        There are no rows, no site holds the reference batch, or no feature has anything left
        to harmonize although features vary.

    References
    ----------
    Johnson, Li & Rabinovic 2007, Biostatistics 8:118; Fortin et al. 2018, NeuroImage 167:104.
    """
    if sums.count <= 0:
        raise SolveError("The ComBat sums cover no rows.", "Add the answers of the sites first.")
    beta = solve_beta(sums, names)
    count, total, rss = _block(sums, residuals, beta, reference_batch)
    keep = (rss > EXPLAINED * sums.s_xx_diag) & (sums.s_xx_diag > 0)
    if not keep.any() and (sums.s_xx_diag > 0).any():
        raise SolveError(
            "The batches and covariates explain every feature completely, so there is no spread "
            "to standardise by.",
            "Use fewer covariates, or more rows a batch.",
        )
    sigma = np.sqrt(np.where(keep, rss / count, 1.0))
    alpha = np.where(keep, total / count, sums.sum_x / sums.count)
    name = "" if reference_batch is None else str(reference_batch).strip()
    return Reference(alpha, np.where(keep, beta, 0.0), sigma, keep, count, name)


def _block(
    sums: CombatSums, residuals: ResidualSums | None, beta: Floats, batch: str | None
) -> tuple[int, Floats, Floats]:
    """Rows, summed residuals and squares: of all rows, or of the reference batch."""
    rest = residuals if residuals is None or batch is None else residuals.reference
    part = sums if batch is None else sums.reference
    if residuals is not None and residuals.count != sums.count:
        raise SolveError(
            f"The first round covers {sums.count} rows and the second {residuals.count}.",
            "Ask the same sites, with the same rows, in both rounds.",
        )
    if residuals is not None and rest is not None:
        count, total, rss = rest.count, rest.total, rest.rss
    elif part is not None:
        count, total = part.count, part.sum_x - part.sum_z @ beta
        rss = part.s_xx_diag + np.einsum("kg,kg->g", beta, part.s_zz @ beta - 2.0 * part.s_zx)
    else:
        raise SolveError(
            f"The sums carry nothing about the reference batch '{batch}'.",
            "Pass reference_batch to combat_sums or residual_sums at every site.",
        )
    if count <= 0:
        raise SolveError(
            f"No site holds the reference batch '{batch}'.",
            "Check its spelling, and that its site takes part in training.",
        )
    return count, total, rss


def _refuse_collinear(correlation: Floats, labels: list[str]) -> None:
    """Go through the columns in order, and refuse the first that the earlier ones determine."""
    for k in range(1, len(labels)):
        earlier = correlation[:k, :k]
        weights = np.linalg.solve(earlier, correlation[:k, k])
        if 1.0 - correlation[:k, k] @ weights > COLLINEAR:
            continue
        others = [labels[j] for j in np.flatnonzero(np.abs(weights) > 1e-6)]
        raise CollinearError(
            f"Within the batches, the covariate '{labels[k]}' is a combination of "
            f"{', '.join(map(repr, others))}.",
            "Take one of them out of the covariates.",
        )
