"""Sums over slices that hide each patient: clipped, and with Gaussian noise.

Two forms. `private_total` is for any vector that a patient contributes. `private_moments` is for
the moments of features and target, with a bound that suits them.

The bounds hold for rows that depend on their own patient alone, given numbers that are public or
were themselves released with noise. Features that were harmonised by ComBat effects of the site,
or standardised by its own means, are no such rows: each of them depends on every patient, and
clipping them hides nobody.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.errors import MyoFedError
from common.privacy.secret_noise import SecretNoise
from common.statistics.moments import Moments
from common.statistics.sums import pack_symmetric, unpack_symmetric

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


class UnboundedRows(MyoFedError):
    """Rows cannot be clipped, so a patient's part in their sum has no bound."""

    code = "private-sum-invalid"
    public = "The site's rows cannot be summed with privacy."


def private_total(
    rows: Floats, patient: Ints, bound: float, noise_multiplier: float, noise: SecretNoise
) -> Floats:
    """Sum rows (n, d), each patient's sum clipped to the norm `bound`; noise added: (d,).

    One patient more or less changes the sum by one clipped vector, so its sensitivity is `bound`
    in the L2 norm, and the noise has the standard deviation `noise_multiplier` x `bound`.

    Raises
    ------
    UnboundedRows
        Shapes disagree, a value is not finite, or the bound is not above 0.
    """
    _check(rows, patient, bound)
    return noise.added_to(clipped_total(rows, patient, bound), noise_multiplier * bound)


def clipped_total(rows: Floats, patient: Ints, bound: float) -> Floats:
    """Do as `private_total`, without noise: (d,). Not to leave the site."""
    _, place = np.unique(patient, return_inverse=True)
    owned = np.zeros((int(place.max(initial=-1)) + 1, rows.shape[1]))
    np.add.at(owned, place, rows)
    norms = np.linalg.norm(owned, axis=1)
    scale = bound / np.maximum(norms, bound)
    return np.asarray(scale @ owned, dtype=np.float64)


def private_moments(
    x: Floats,
    y: Floats,
    weights: Floats,
    patient: Ints,
    bound: float,
    noise_multiplier: float,
    noise: SecretNoise,
) -> Moments:
    """Give moments of n slices that hide each patient.

    Let z_i = sqrt(w_i) (1, x_i, y_i) and Z the matrix of one patient's z_i. If its Frobenius norm
    is above `bound`, the patient's weights are lowered until it is the bound; the values of x and y
    stay as they are. A patient then adds Z'Z to the sum of z z', and |Z'Z| <= |Z|^2 <= bound^2 in
    the Frobenius norm: the sensitivity of the symmetric sum to one patient. The diagonal and the
    upper triangle times sqrt 2 form a vector of that very norm. Noise of standard deviation
    `noise_multiplier` x bound^2 is added to it, so to an entry off the diagonal it is less by
    sqrt 2. (Sums with Gaussian noise: Dwork et al., STOC 2014, "Analyze Gauss"; for regression
    Wang, arXiv:1803.02596.)

    Parameters
    ----------
    x : (n, q), of order 1
    y, weights : (n,), weights 0 or more. With weights of one over its number of slices a patient
        has a norm of about sqrt(q + 2), and needs no larger bound
    patient : (n,) the patient of each slice

    Returns
    -------
    Moments
        Their `count`, of rows, is the noisy weight, rounded: rows themselves are not counted.

    Raises
    ------
    UnboundedRows
        Shapes disagree, a value is not finite, or the bound is not above 0.
    """
    total = clipped_scatter(x, y, weights, patient, bound)
    size = len(total)
    stretch = np.where(np.eye(size, dtype=np.bool_), 1.0, np.sqrt(2.0))
    packed = noise.added_to(pack_symmetric(total * stretch), noise_multiplier * bound**2)
    noisy = unpack_symmetric(packed, size) / stretch
    return _as_moments(noisy)


def clipped_scatter(
    x: Floats, y: Floats, weights: Floats, patient: Ints, bound: float
) -> NDArray[np.float64]:
    """Do as `private_moments`, without noise: (q + 2, q + 2) sums of (1, x, y). Not to leave."""
    rows = np.column_stack([np.ones(len(x)), x, y]) * np.sqrt(weights)[:, None]
    _check(rows, patient, bound)
    _, place = np.unique(patient, return_inverse=True)
    norms = np.sqrt(np.bincount(place, weights=np.square(rows).sum(axis=1)))
    clipped = rows * (bound / np.maximum(norms, bound))[place][:, None]
    return np.asarray(clipped.T @ clipped, dtype=np.float64)


def repaired(noisy: Moments) -> Moments:
    """Give the nearest moments that rows can have: noise makes variances negative.

    For the coordinator, on the total over sites: eigenvalues of the matrix of sums below 0 become
    0 (the projection on the positive semidefinite matrices).
    """
    features = noisy.wx.size
    full = np.empty((features + 2, features + 2))
    full[0, 0], full[-1, -1] = noisy.weight, noisy.ywy
    full[0, 1:-1] = full[1:-1, 0] = noisy.wx
    full[-1, 1:-1] = full[1:-1, -1] = noisy.xwy
    full[0, -1] = full[-1, 0] = noisy.wy
    full[1:-1, 1:-1] = unpack_symmetric(noisy.xwx, features)
    values, vectors = np.linalg.eigh(full)
    return _as_moments((vectors * np.maximum(values, 0.0)) @ vectors.T)


def _as_moments(scatter: Floats) -> Moments:
    return Moments(
        count=np.asarray(np.rint(scatter[0, 0]), dtype=np.int64),
        weight=np.asarray(scatter[0, 0]),
        wx=scatter[0, 1:-1].copy(),
        xwx=pack_symmetric(scatter[1:-1, 1:-1]),
        wy=np.asarray(scatter[0, -1]),
        xwy=scatter[-1, 1:-1].copy(),
        ywy=np.asarray(scatter[-1, -1]),
    )


def _check(rows: Floats, patient: Ints, bound: float) -> None:
    if rows.ndim != 2 or patient.shape != rows.shape[:1]:
        raise UnboundedRows(
            f"There are rows of shape {rows.shape} and patients of shape {patient.shape}.",
            "Each row belongs to one patient.",
        )
    if not np.isfinite(rows).all() or not 0.0 < bound < np.inf:
        raise UnboundedRows(
            "A value of the rows is not finite, or the bound is not above 0.",
            "Check the rows: a NaN has no norm to clip.",
        )
