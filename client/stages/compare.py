"""Compare: sums for fitting the classifiers on the selected features; then their scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from client.context import SiteContext
from client.scoring import patient_scores
from client.stages.calibrate import within_site
from client.stages.fuse import remembered
from common.classifiers.protocol import FoldRows
from common.classifiers.registry import classifiers_of
from common.heads import below, under
from common.messages import Arrays, CompareAnswer, CompareQuestion
from common.statistics.scores import round_scores, score_histogram
from common.study import Study

Floats = npt.NDArray[np.float64]


def answer(question: CompareQuestion, context: SiteContext) -> CompareAnswer:
    """Answer the step ``fit`` or ``scores``."""
    if question.step == "fit":
        return CompareAnswer(sums=_sums(question, context))
    scores, labels = _validation_scores(question, context)
    return CompareAnswer(
        histograms=np.stack([score_histogram(row, labels) for row in scores]),
        within=np.stack([within_site(row, labels) for row in scores]),
    )


def standardised(columns: Floats, selected: Arrays, fold: int) -> Floats:
    """Take a fold's selected features (n, m) of all (n, q), standardised by pooled moments."""
    own = below(selected, str(fold))
    features = np.asarray(own["features"], np.int64)
    center, scale = (np.asarray(own[name], np.float64) for name in ("center", "scale"))
    return np.asarray((columns[:, features] - center) / scale)


def classifier_scores(study: Study, columns: Floats, fits: Arrays, fold: int) -> Floats:
    """Score slices by each classifier of the study: (M, n), from standardised features (n, m)."""
    return np.stack(
        [
            one.scores(below(fits, f"{fold}.{name}"), columns)
            for name, one in classifiers_of(study).items()
        ]
    )


def _sums(question: CompareQuestion, context: SiteContext) -> Arrays:
    study = context.study
    sums: Arrays = {}
    for fold in range(study.folds):
        asked = below(question.fits, str(fold))
        own = _fold_rows(question.selected, context, fold)
        sums[f"{fold}.count"] = np.asarray(own.labels.size, np.int64)
        for name, classifier in classifiers_of(study).items():
            if wanted := below(asked, name):
                sums |= under(classifier.sums(wanted, own), f"{fold}.{name}")
    return sums


def _fold_rows(selected: Arrays, context: SiteContext, fold: int) -> FoldRows:
    rows = context.rows
    trains = rows.trains(fold)
    labels, patient = rows.labels[trains], rows.patient[trains]
    weights = np.asarray(selected["class_weights"], np.float64)[fold]
    columns = remembered(context, fold).columns("harmonized")[trains]
    slices = np.bincount(patient, minlength=len(rows.patient_ids))
    return FoldRows(
        columns=standardised(columns, selected, fold),
        labels=labels,
        weights=weights[labels],
        shares=1.0 / slices[patient],
    )


def _validation_scores(
    question: CompareQuestion, context: SiteContext
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Score the P validation patients, each by its own fold: (M, P), and their labels (P,)."""
    rows, study = context.rows, context.study
    count = len(rows.patient_ids)
    scores = np.full((len(study.comparison.classifiers), count), np.nan)
    for fold in range(study.folds):
        validates = rows.validates(fold)
        columns = remembered(context, fold).columns("harmonized")[validates]
        by_slice = classifier_scores(
            study, standardised(columns, question.selected, fold), question.fits, fold
        )
        own = patient_scores(by_slice, rows.patient[validates], count, study.fusion.patient_score)
        scores = np.where(np.isfinite(own), own, scores)
    seen = np.isfinite(scores[0])
    return round_scores(scores[:, seen]), rows.patient_labels[seen]
