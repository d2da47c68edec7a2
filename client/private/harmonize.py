"""Harmonize with each patient hidden by noise: ComBat's location, from the site's noisy moments.

The scale is what the bounds of the features promise, the same at all sites.
"""

from __future__ import annotations

import numpy as np

from client.context import SiteContext
from client.private.moments import noisy_moments
from common.heads import under
from common.messages import Arrays, HarmonizeAnswer, HarmonizeQuestion
from common.privacy.class_moments import SD, location
from harmonization import CombatSums


def answer(question: HarmonizeQuestion, context: SiteContext) -> HarmonizeAnswer:
    """Sum the features of every fold.

    Raises
    ------
    BudgetSpent
        The patients' budget does not allow it.
    """
    sums: Arrays = {}
    for fold in range(context.study.folds):
        patients, mean = location(noisy_moments(context, fold))
        count, nothing = round(patients), np.zeros(0)
        found = CombatSums(
            count=count,
            sum_x=count * mean,
            sum_z=nothing,
            s_zz=np.zeros((0, 0)),
            s_zx=np.zeros((0, mean.size)),
            s_xx_diag=np.full(mean.size, count * SD**2),
        )
        sums |= under(found.arrays(), str(fold))
    return HarmonizeAnswer(sums)
