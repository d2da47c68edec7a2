"""A site's one release of its radiomics: moments by class over a fold's training patients.

The site itself uses nothing else of them in a study that hides each patient. Rows that it
standardised by its own exact means would depend on all of its patients, and no clipping of one
would hide another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from client.context import SiteContext
from client.private.spending import noise_for_release, spend
from common.privacy.class_moments import private_class_moments
from common.privacy.of_study import noise_of
from common.privacy.secret_noise import digest_of


def noisy_moments(context: SiteContext, fold: int) -> NDArray[np.float64]:
    """Give the noisy moments (2, p+1, p+1) of the bounded features; the same each time.

    Raises
    ------
    BudgetSpent
        The patients' budget does not allow it.
    """
    rows, study = context.rows, context.study
    trains = rows.trains(fold)
    u, patient = rows.features[trains], rows.patient[trains]
    # A patient is of one class, whatever its slices show.
    labels = rows.patient_labels[patient]
    noise = noise_of(study).sums
    place = f"{study.fingerprint}/moments/fold {fold}"
    subject = digest_of(place, repr(noise), u, labels, patient)
    secret = spend(
        context, subject, f"moments of fold {fold}", "sums", noise, fold=fold, touches="training"
    )
    return private_class_moments(u, labels, patient, noise, noise_for_release(secret, subject))
