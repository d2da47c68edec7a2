"""Calibrate: histograms of the validation patients' scores, each by the fold that left it out."""

from __future__ import annotations

import numpy as np

from client.context import SiteContext
from client.scoring import patient_scores, slice_scores
from client.stages.fuse import remembered
from common.errors import MyoFedError
from common.heads import SCORED, below, heads_from_arrays
from common.messages import CalibrateAnswer, CalibrateQuestion
from common.statistics.auc import auc_of_scores
from common.statistics.scores import round_scores, score_histogram


def answer(question: CalibrateQuestion, context: SiteContext) -> CalibrateAnswer:
    """Score every validation patient by its own fold's heads."""
    scores, labels = validation_scores(question, context)
    return CalibrateAnswer(
        histograms=np.stack([score_histogram(row, labels) for row in scores]),
        within=np.stack([within_site(row, labels) for row in scores]),
    )


def validation_scores(
    question: CalibrateQuestion, context: SiteContext
) -> tuple[np.ndarray, np.ndarray]:
    """Score the P validation patients, each by its own fold: (M, P), and their labels (P,)."""
    rows, study = context.rows, context.study
    scores = np.full((len(SCORED), len(rows.patient_ids)), np.nan)
    for fold in range(study.folds):
        heads = heads_from_arrays(below(question.heads, str(fold)))
        by_slice = slice_scores(remembered(context, fold), heads)
        validates = rows.validates(fold)
        own = patient_scores(
            by_slice[:, validates],
            rows.patient[validates],
            len(rows.patient_ids),
            study.fusion.patient_score,
        )
        scores = np.where(np.isfinite(own), own, scores)
    seen = np.isfinite(scores[0])
    return round_scores(scores[:, seen]), rows.patient_labels[seen]


def within_site(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n AUC, n^2 variance, n) of the site's own validation patients; zeros where undefined."""
    try:
        own = auc_of_scores(scores, labels)
    except MyoFedError:
        return np.zeros(3)
    if own.variance is None:
        return np.zeros(3)
    count = float(labels.size)
    return np.array([count * own.auc, count**2 * own.variance, count])
