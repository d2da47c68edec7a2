"""Sums over slices that hide each patient: clipped, and with Gaussian noise.

The bound holds for rows that depend on their own patient alone, given numbers that are public or
were themselves released with noise. Features that were harmonised by ComBat effects of the site,
or standardised by its own means, are no such rows: each of them depends on every patient, and
clipping them hides nobody.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.errors import MyoFedError
from common.privacy.secret_noise import SecretNoise

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
