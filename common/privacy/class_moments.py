"""Second moments of bounded features by class, with each patient hidden, and a head made of them.

Site: `private_class_moments`, and `moved`, which needs no patients. Merge: add. Server:
`ridge_discriminant`.

One release serves harmonisation and selection alike. A patient is of one class, so the matrices of
both classes together have the sensitivity of one; weights of the classes, the site's location and
its harmonised moments are all computed from what is noisy already, and cost nothing more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.privacy.secret_noise import SecretNoise
from common.privacy.sums import private_total
from common.statistics.checks import StatisticsError
from common.statistics.sums import pack_symmetric, unpack_symmetric

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HALF = 0.5
"""Bounded features lie within it on either side of 0."""
SD = 1.0 / 6.0
"""Of a bounded feature, as its bounds promise: three to either side of the middle. It is not
estimated: the noise of a variance is of the order of the bounds, and drowns it."""
LEAST = 1.0
"""Patients of a class, at least, as far as noisy counts are concerned."""


def bound_of(features: int) -> float:
    """Bound what a patient adds: |(1, u)|^2 for the u of its slices, averaged over them.

    The Frobenius norm of (1, u)(1, u)' is |(1, u)|^2, and no entry of u is beyond 1/2.
    """
    return 1.0 + features * HALF**2


def private_class_moments(
    u: Floats, labels: Ints, patient: Ints, noise_multiplier: float, noise: SecretNoise
) -> Floats:
    """Sum (1, u)(1, u)' over patients, each the mean over its slices, by class; noise added.

    Parameters
    ----------
    u : (n, p) within 1/2 on either side of 0
    labels : (n,) 0 or 1, the same for all slices of a patient
    patient : (n,) the patient of each slice

    Returns
    -------
    (2, p+1, p+1)
        The noise of an entry on the diagonal has the standard deviation `noise_multiplier` times
        `bound_of`; off it, less by sqrt 2: an entry and its mirror image are one number.

    Raises
    ------
    UnboundedRows
        Shapes disagree, or a value is not finite.
    """
    features = u.shape[1]
    size = features + 1
    clipped = np.clip(u, -HALF, HALF)
    rows = np.column_stack([np.ones(len(u)), clipped])
    _, place = np.unique(patient, return_inverse=True)
    slices = np.bincount(place, minlength=1).astype(np.float64)[place]
    upper = np.triu_indices(size)
    stretch = np.where(upper[0] == upper[1], 1.0, np.sqrt(2.0))
    products = rows[:, upper[0]] * rows[:, upper[1]] * stretch / slices[:, None]
    by_class = np.concatenate([products * (labels == label)[:, None] for label in (0, 1)], axis=1)
    total = private_total(by_class, patient, bound_of(features), noise_multiplier, noise)
    return np.stack([unpack_symmetric(one / stretch, size) for one in np.split(total, 2)])


def location(moments: Floats) -> tuple[float, Floats]:
    """Give the patients of both classes, and the mean of their features (p,), within the bounds."""
    both = moments.sum(axis=0)
    count = max(float(both[0, 0]), 2.0 * LEAST)
    return count, np.clip(both[0, 1:] / count, -HALF, HALF)


def moved(moments: Floats, shift: Floats) -> Floats:
    """Give the moments of (u - shift) / SD, from those of u: (2, p+1, p+1)."""
    turn = np.diag(np.concatenate([[1.0], np.full(shift.size, 1.0 / SD)]))
    turn[1:, 0] = -shift / SD
    return np.asarray(turn @ moments @ turn.T)


def pack(moments: Floats) -> Floats:
    """Lay both matrices out flat, upper triangles: (2, (p+1)(p+2)/2)."""
    return np.stack([pack_symmetric(one) for one in moments])


def unpack(packed: Floats, features: int) -> Floats:
    """Undo `pack`."""
    return np.stack([unpack_symmetric(one, features + 1) for one in packed])


def ridge_discriminant(moments: Floats, noise_sd: float) -> Floats:
    """Solve the linear discriminant of two equally likely classes: (p+1,), intercept first.

    The covariance within the classes is shrunk to the identity, which is what the bounds promise
    of features in units of `SD`. The identity weighs twice the size that noise alone gives the
    covariance: where noise rules, the means alone decide (the nearest centroid), on a scale on
    which scores still spread. That size is the spectral norm of a symmetric matrix of independent
    entries, 2 sd sqrt(p) (Wigner).

    Parameters
    ----------
    moments : (2, p+1, p+1) of (1, x) by class, summed over sites
    noise_sd : of an entry of them off the diagonal

    Raises
    ------
    StatisticsError
        The moments are not finite.
    """
    if not np.isfinite(moments).all():
        raise StatisticsError("Noisy moments are not finite.", "The sites' sums cannot be used.")
    features = moments.shape[1] - 1
    counts = np.maximum(moments[:, 0, 0], LEAST)
    means = np.clip(moments[:, 0, 1:] / counts[:, None], -HALF / SD, HALF / SD)
    within = np.mean(
        [
            one[1:, 1:] / count - np.outer(mean, mean)
            for one, count, mean in zip(moments, counts, means, strict=True)
        ],
        axis=0,
    )
    values, vectors = np.linalg.eigh((within + within.T) / 2.0)
    size = 2.0 * noise_sd * np.sqrt(features) * float(np.sqrt(np.mean(1.0 / counts**2) / 2.0))
    weight = 2.0 * size + 1e-6
    spread = (np.maximum(values, 0.0) + weight) / (1.0 + weight)
    slope = vectors @ ((vectors.T @ (means[1] - means[0])) / spread)
    return np.concatenate([[-float(slope @ (means[0] + means[1])) / 2.0], slope])
