"""Harmonize with each patient hidden by noise: ComBat's sums, made of the site's noisy moments."""

from __future__ import annotations

import numpy as np

from client.context import SiteContext
from client.private.batch import noisy_batch
from common.heads import under
from common.messages import Arrays, HarmonizeAnswer, HarmonizeQuestion
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
        own = noisy_batch(context, fold)
        count, nothing = round(own.count), np.zeros(0)
        found = CombatSums(
            count=count,
            sum_x=count * own.mean,
            sum_z=nothing,
            s_zz=np.zeros((0, 0)),
            s_zx=np.zeros((0, own.mean.size)),
            s_xx_diag=count * own.variance,
        )
        sums |= under(found.arrays(), str(fold))
    return HarmonizeAnswer(sums)
