"""A site's own location and scale of its radiomics, with each patient hidden by noise.

ComBat needs them twice: summed over sites for the reference, and here for the site's own effect.
Whatever is computed from rows that a site standardised by its own means depends on all of its
patients; so the site itself uses the noisy moments only, and both uses cost one release.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.context import SiteContext
from client.private.spending import noise_for_release, spend
from common.privacy.of_study import noise_of
from common.privacy.secret_noise import digest_of
from common.privacy.sums import private_total

Floats = NDArray[np.float64]

HALF = 0.5
"""Bounded features lie within it on either side of 0."""
FEWEST = 2.0
LEAST_SD = 0.01
"""Of a bounded feature: a smaller one is noise."""


@dataclass(frozen=True, eq=False)
class NoisyBatch:
    """Noisy moments over the training patients of a fold, each patient counting once.

    `count` patients, `mean` and `variance` (p,) over their slices, of the bounded features.
    """

    count: float
    mean: Floats
    variance: Floats


def noisy_batch(context: SiteContext, fold: int) -> NoisyBatch:
    """Give the moments of a fold's training patients; the same each time.

    A patient adds (1, m, s): the means over its slices of the p features and of their squares. No
    entry of m is above 1/2, none of s above 1/4, so its norm is at most sqrt(1 + p (1/4 + 1/16)).

    Raises
    ------
    BudgetSpent
        The patients' budget does not allow it.
    """
    rows, study = context.rows, context.study
    trains = rows.trains(fold)
    x, patient = rows.features[trains], rows.patient[trains]
    noise = noise_of(study).sums
    place = f"{study.fingerprint}/batch/fold {fold}"
    subject = digest_of(place, repr(noise), x, patient)
    secret = spend(
        context, subject, f"ComBat moments of fold {fold}", "sums", noise,
        fold=fold, touches="training",
    )  # fmt: skip
    owners, place_of = np.unique(patient, return_inverse=True)
    slices = np.bincount(place_of).astype(np.float64)[place_of]
    parts = np.column_stack([np.ones(len(x)), x, np.square(x)]) / slices[:, None]
    features = x.shape[1]
    bound = float(np.sqrt(1.0 + features * (HALF**2 + HALF**4)))
    total = private_total(parts, owners[place_of], bound, noise, noise_for_release(secret, subject))
    count = max(float(total[0]), FEWEST)
    mean = np.clip(total[1 : features + 1] / count, -HALF, HALF)
    variance = np.maximum(total[features + 1 :] / count - mean**2, LEAST_SD**2)
    return NoisyBatch(count, mean, variance)
