"""Fuse with each patient hidden by noise: moments of the radiomics, and nothing else.

The deep head is that of the network itself, and the fused one an average, so neither costs more.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from client.context import SiteContext
from client.fold_features import features_with
from client.private.batch import noisy_batch
from client.private.spending import noise_for_release, spend
from common.heads import VARIANTS, under
from common.messages import Arrays, FuseAnswer, FuseQuestion
from common.privacy.of_study import noise_of
from common.privacy.secret_noise import digest_of
from common.privacy.sums import private_moments
from common.release import FoldModel, folds_from_arrays
from common.statistics.moments import Moments
from harmonization import BatchEffect, estimate_from_moments


def answer(question: FuseQuestion, context: SiteContext) -> FuseAnswer:
    """Answer the step ``moments``, the only one of a private study.

    Raises
    ------
    BudgetSpent
        The patients' budget does not allow it.
    """
    rows, study = context.rows, context.study
    class_weights = np.asarray(question.model["class_weights"], np.float64)
    sums: Arrays = {}
    for fold, model in enumerate(folds_from_arrays(question.model, study.folds)):
        features = features_with(rows, model, study, {rows.site: _effect(context, fold, model)})
        context.memory.save(f"features-{fold}", features.arrays())
        for number, variant in enumerate(VARIANTS):
            x = features.harmonized if variant == "harmonized" else features.raw
            own = _moments(x, class_weights[fold], context, fold, variant)
            sums |= under(own.arrays(), f"{fold}.{number}")
    return FuseAnswer(sums)


def _effect(context: SiteContext, fold: int, model: FoldModel) -> BatchEffect:
    own = noisy_batch(context, fold)
    mode = context.study.harmonization.mode
    return estimate_from_moments(
        own.count, own.mean, own.variance, model.reference, mode, name=context.rows.site
    )


def _moments(
    x: NDArray[np.float64],
    class_weights: NDArray[np.float64],
    context: SiteContext,
    fold: int,
    variant: str,
) -> Moments:
    """Moments over a fold's training slices; a patient weighs as much as its class, however many
    slices it has.
    """
    rows, study = context.rows, context.study
    trains = rows.trains(fold)
    patient, labels = rows.patient[trains], rows.labels[trains]
    _, place = np.unique(patient, return_inverse=True)
    weights = class_weights[labels] / np.bincount(place)[place]
    noise = noise_of(study).sums
    what = f"moments of fold {fold}, {variant}"
    columns, target = x[trains], labels.astype(np.float64)
    subject = digest_of(
        f"{study.fingerprint}/{what}", repr(noise), columns, target, weights, patient
    )
    secret = spend(
        context, subject, what, "sums", noise, fold=fold, touches="training",
    )  # fmt: skip
    # In the reference's units a feature's mean square is about 1, and those of 1 and y are too.
    bound = float(np.sqrt(x.shape[1] + 2.0))
    found = private_moments(
        columns, target, weights, patient, bound, noise, noise_for_release(secret, subject)
    )
    return replace(found, count=np.maximum(found.count, 0))
