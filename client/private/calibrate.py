"""Calibrate with each patient hidden by noise: histograms of few bins, with noise in each."""

from __future__ import annotations

import numpy as np

from client.context import SiteContext
from client.private.spending import noise_for_release, spend
from client.stages.calibrate import validation_scores
from common.heads import MODELS
from common.messages import CalibrateAnswer, CalibrateQuestion
from common.privacy.histograms import coarse, private_histograms
from common.privacy.of_study import noise_of
from common.privacy.secret_noise import digest_of
from common.statistics.scores import BINS, score_histogram


def answer(question: CalibrateQuestion, context: SiteContext) -> CalibrateAnswer:
    """Count the validation patients of all folds by model, class and score.

    Raises
    ------
    BudgetSpent
        The patients' budget does not allow it.
    """
    study = context.study
    scores, labels = validation_scores(question, context)
    # Those of the models as they are released: every further one would add to the noise of all.
    counts = coarse(np.stack([score_histogram(row, labels) for row in scores[: len(MODELS)]]))
    noise = noise_of(study).scores
    # With the heads: that two of them give the very same counts must not show for nothing.
    heads = (part for name in sorted(question.heads) for part in (name, question.heads[name]))
    subject = digest_of(f"{study.fingerprint}/calibrate", repr(noise), counts, *heads)
    secret = spend(context, subject, "scores of the validation patients", "metrics", noise)
    return CalibrateAnswer(
        histograms=np.zeros((0, 2, BINS), np.int64),
        within=np.zeros((0, 3)),
        noisy=private_histograms(counts, noise, noise_for_release(secret, subject)),
    )
