"""The local half of ComBat: each site estimates the effects of its own batches."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harmonization import bayes
from harmonization.arrays import Floats, with_ones
from harmonization.blocks import FIRST, blocks, place_of
from harmonization.effect import MODES, BatchEffect, Mode
from harmonization.errors import BatchError, ShapeError
from harmonization.reference import Reference
from harmonization.rows import CONSTANT, Rows, checked_rows

Below = Literal["refuse", "mean_only", "identity"]
"""What to do with a batch of too few rows."""


def estimate_batches(
    x: ArrayLike,
    z: ArrayLike | None,
    batch: Sequence[object] | NDArray[np.generic],
    reference: Reference,
    mode: Mode = "parametric",
    minimum: int = 2,
    below: Below = "refuse",
    *,
    features: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, BatchEffect]:
    """Estimate gamma* and delta* of every batch among the rows, the reference being frozen.

    A training site calls this with its training rows. An external site calls it with its
    unlabelled rows: alpha, beta and sigma stay as they are, and only its own effect is estimated.

    Parameters
    ----------
    x : (n, p) array
        Features, in their units.
    z : (n, q) array or None
        Covariate design.
    batch : n labels
        Site or scanner of every row.
    reference : Reference
        From ``solve_reference``.
    mode : {"parametric", "nonparametric", "mean_only", "none", "mean_only_none"}
        Default "parametric". The last two are without empirical Bayes.
    minimum : int, default 2
        Least number of rows of a batch. Modes that estimate a scale need 2, whatever is given.
    below : {"refuse", "mean_only", "identity"}, default "refuse"
        For a batch with fewer rows: raise; shift it only, shrunken; or leave it as it is.
    features, names : sequence of str, optional
        Names of the columns of x and z, for messages.

    Returns
    -------
    dict of str to BatchEffect
        By batch name. The reference batch, if among the rows, has the mode "reference".

    Raises
    ------
    BatchError
        A batch is below the minimum and the rule is "refuse", the rule or mode is not known, or
        there are too few features for empirical Bayes.
    ShapeError
        The rows do not have the reference's features or covariates.
    NotFiniteError
        A value is NaN or infinite.
    ConvergenceError
        The parametric iteration does not converge.

    References
    ----------
    Johnson, Li & Rabinovic 2007, Biostatistics 8:118; Fortin et al. 2018, NeuroImage 167:104.
    """
    _check_choice("mode", mode, MODES)
    _check_choice("below", below, ("refuse", "mean_only", "identity"))
    with checked_rows(x, z, batch, features=features, names=names) as rows:
        effects: dict[str, BatchEffect] = {}
        least = max(minimum, 1 if mode in ("mean_only", "mean_only_none") else 2)
        for name, own in rows.groups.items():
            n = len(own)
            used: Mode = mode if n >= least else "mean_only"
            if name == reference.batch:
                effects[name] = _unchanged(rows, own, "reference")
            elif n < least and below == "identity":
                effects[name] = _unchanged(rows, own, "identity")
            elif n < least and below == "refuse":
                raise BatchError(
                    f"Batch '{name}' has {n} rows; mode '{mode}' is to have at least {least}.",
                    "Join it with a like batch, lower the minimum, or set the rule for small "
                    "batches to 'mean_only' or 'identity'.",
                )
            else:
                effects[name] = _estimate(rows, reference, used, name)
        return effects


def estimate_from_moments(
    count: float,
    mean: ArrayLike,
    variance: ArrayLike,
    reference: Reference,
    mode: Mode = "parametric",
    *,
    name: str = "",
) -> BatchEffect:
    """Estimate a batch's effect from its moments alone, for a batch without covariates.

    For a site that may use noisy moments of its rows only, but not the rows (differential privacy).
    With the moments of the rows it gives what `estimate_batches` gives.

    Parameters
    ----------
    count : float
        Rows of the batch, 2 or more; need not be whole.
    mean, variance : (p,) arrays
        Of the features in their units; variance with ddof 1, above 0 where the reference has keep.
    reference : Reference
        From ``solve_reference``, without covariates.
    mode : as in ``estimate_batches``
    name : str, optional
        Of the batch, for messages.

    Returns
    -------
    BatchEffect

    Raises
    ------
    BatchError
        The count is below 2, a variance is not above 0, or the mode is not known.
    ShapeError
        The moments do not have the reference's features, or the reference has covariates.
    ConvergenceError
        The parametric iteration does not converge.
    """
    _check_choice("mode", mode, MODES)
    means, variances = (np.asarray(one, dtype=np.float64) for one in (mean, variance))
    keep, shape = reference.keep, reference.alpha.shape
    if reference.beta.shape[0] or means.shape != shape or variances.shape != shape:
        raise ShapeError(
            f"Moments of the shapes {means.shape} and {variances.shape} do not fit a reference of "
            f"{shape[0]} features and {reference.beta.shape[0]} covariates.",
            "Use the features that the reference was fitted on, and no covariates.",
        )
    if not (count >= 2 and (variances[keep] > 0).all()):
        raise BatchError(
            f"Batch '{name}' has {count:g} rows, or a variance that is not above 0.",
            "Take at least 2 rows, and a smallest variance.",
        )
    sigma = reference.sigma[keep]
    own = (means[keep] - reference.alpha[keep]) / sigma
    spread = variances[keep] / sigma**2
    gamma, delta = np.zeros(keep.size), np.ones(keep.size)
    if keep.any():
        flat = np.zeros(own.size, dtype=np.bool_)
        gamma[keep], delta[keep] = _shrunken(count, own, spread, flat, mode, name)
    return BatchEffect(gamma, delta, round(count), mode)


def standardize(x: Floats, z: Floats, reference: Reference) -> Floats:
    """Standardise rows by the reference, kept features only.

    Parameters
    ----------
    x, z : (n, p) and (n, q) float64
        Features and covariate design.
    reference : Reference
        From ``solve_reference``.

    Returns
    -------
    (n, k) float64
        ``(x - alpha - z beta) / sigma`` for the k features with keep True.

    Raises
    ------
    ShapeError
        The rows do not have the reference's features or covariates.
    """
    check_fit(x, z, reference)
    keep = reference.keep
    fitted = reference.alpha[keep] + z @ reference.beta[:, keep]
    return np.asarray((x[:, keep] - fitted) / reference.sigma[keep])


def check_fit(x: Floats, z: Floats, reference: Reference) -> None:
    """Raise ShapeError where rows do not have the reference's features or covariates."""
    q, p = reference.beta.shape
    if x.shape[1] != p or z.shape[1] != q:
        raise ShapeError(
            f"The rows have {x.shape[1]} features and {z.shape[1]} covariates; the reference has "
            f"{p} and {q}.",
            "Use the features and covariates that the reference was fitted on.",
        )


def _unchanged(
    rows: Rows, own: NDArray[np.intp], mode: Literal["identity", "reference"]
) -> BatchEffect:
    rows.look(rows.x[place_of(own)])
    return BatchEffect.unchanged(rows.x.shape[1], len(own), mode)


def _estimate(rows: Rows, reference: Reference, mode: Mode, name: str) -> BatchEffect:
    keep, own = reference.keep, rows.groups[name]
    effect = BatchEffect.unchanged(keep.size, len(own), "identity")
    gamma, delta = effect.gamma.copy(), effect.delta.copy()
    mean, variance = _moments(rows, own, reference)
    if keep.any():
        if mode in ("mean_only", "mean_only_none"):
            variance, flat = np.ones(mean.size), np.zeros(mean.size, dtype=np.bool_)
        else:
            flat = _flat(rows, own, reference, mean, variance)
        gamma[keep], delta[keep] = _shrunken(len(own), mean, variance, flat, mode, name)
    return BatchEffect(gamma, delta, len(own), mode)


@np.errstate(over="ignore", invalid="ignore")
def _moments(rows: Rows, own: NDArray[np.intp], reference: Reference) -> tuple[Floats, Floats]:
    """Mean and variance (ddof 1) of a batch's standardised rows, kept features only.

    In one pass: squares are summed about the mean of the first rows (`FIRST`). Features that are
    not kept are dropped at the end, as to pick columns takes longer than to compute with them.
    """
    check_fit(rows.x, rows.z, reference)
    n, keep = len(own), reference.keep
    design, line = with_ones(rows.z[place_of(own)]), np.vstack([reference.alpha, reference.beta])
    total, squares = np.zeros(keep.size), np.zeros(keep.size)
    first = slice(0, FIRST)
    line[0] += (rows.x[place_of(own[first])] - design[first] @ line).mean(axis=0)
    for place, within in blocks(own):
        left = design[within] @ line
        np.subtract(rows.x[place], left, out=left)
        total += left.sum(axis=0)
        squares += np.einsum("ij,ij->j", left, left)
    rows.look(squares)
    mean = (line[0] - reference.alpha + total / n) / reference.sigma
    variance = (squares - total**2 / n) / (max(1, n - 1) * reference.sigma**2)
    return mean[keep], variance[keep]


def _flat(
    rows: Rows, own: NDArray[np.intp], reference: Reference, mean: Floats, variance: Floats
) -> NDArray[np.bool_]:
    """Tell which kept features vary in a batch by no more than rounding.

    That is judged by their largest value, and this is looked up only where what it can at most be,
    given the mean and variance (k,) of the standardised rows, leaves the matter open.
    """
    keep = np.flatnonzero(reference.keep)
    sigma, alpha = reference.sigma[keep], np.abs(reference.alpha[keep])
    most = np.abs(mean) + np.sqrt(len(own) * np.maximum(variance, 0.0))
    covariates = np.abs(rows.z[place_of(own)]).max(axis=0)
    most = most * sigma + alpha + covariates @ np.abs(reference.beta[:, keep])
    flat = variance <= (2 * CONSTANT * most / sigma) ** 2
    near = np.flatnonzero(flat)
    largest = np.abs(rows.x[np.ix_(own, keep[near])]).max(axis=0)
    size = np.maximum(largest, alpha[near])
    flat[near] = variance[near] <= (CONSTANT * size / sigma[near]) ** 2
    return np.asarray(flat)


def _shrunken(
    n: float, mean: Floats, variance: Floats, flat: NDArray[np.bool_], mode: Mode, name: str
) -> bayes.Pair:
    """Turn mean and variance (p,) of n standardised rows into gamma* and delta*."""
    p = mean.size
    if mode == "mean_only_none":
        return mean, np.ones(p)
    if mode != "none" and p < 2:
        raise BatchError(
            f"Batch '{name}' has one feature that varies; empirical Bayes ('{mode}') learns from "
            "several.",
            "Use the mode 'none' or 'mean_only_none'.",
        )
    if mode == "mean_only":
        return bayes.shrink_mean(mean, 1.0), np.ones(p)
    if mode == "parametric":
        return bayes.parametric(n, mean, variance, flat, batch=name)
    if mode == "nonparametric":
        return bayes.nonparametric(n, mean, variance, flat)
    return mean, np.where(flat, 1.0, variance)


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BatchError(
            f"'{value}' is not a known {what}.", f"Use one of {', '.join(map(repr, choices))}."
        )
