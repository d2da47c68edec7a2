"""Fuse with each patient hidden by noise: the noisy moments once more, harmonised and not.

The deep head is that of the network itself, and the fused one an average, so neither needs sums.
"""

from __future__ import annotations

import numpy as np

from client.context import SiteContext
from client.fold_features import features_with
from client.private.moments import noisy_moments
from common.heads import VARIANTS
from common.messages import Arrays, FuseAnswer, FuseQuestion
from common.privacy.class_moments import SD, location, moved, pack
from common.release import folds_from_arrays
from harmonization import estimate_from_moments


def answer(question: FuseQuestion, context: SiteContext) -> FuseAnswer:
    """Answer the step ``moments``, the only one of a private study.

    Raises
    ------
    BudgetSpent
        The patients' budget does not allow it.
    """
    rows, study = context.rows, context.study
    sums: Arrays = {}
    for fold, model in enumerate(folds_from_arrays(question.model, study.folds)):
        own = noisy_moments(context, fold)
        patients, mean = location(own)
        effect = estimate_from_moments(
            patients,
            mean,
            np.full(mean.size, SD**2),
            model.reference,
            study.harmonization.mode,
            name=rows.site,
        )
        features = features_with(rows, model, study, {rows.site: effect})
        context.memory.save(f"features-{fold}", features.arrays())
        shifts = {
            "raw": model.reference.alpha,
            "harmonized": model.reference.alpha + SD * effect.gamma,
        }
        for number, variant in enumerate(VARIANTS):
            sums[f"{fold}.{number}.classes"] = pack(moved(own, shifts[variant]))
    return FuseAnswer(sums)
