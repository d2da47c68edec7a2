"""Validate: score the patients of an external site with the finished release."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from client.context import SiteContext
from client.described import levels_of, used
from client.explain import attention
from client.fold_features import fold_features
from client.scoring import ensemble_scores, fold_scores, patient_scores
from client.stages.compare import classifier_scores, standardised
from client.stages.fuse import remembered
from common.errors import RunError
from common.heads import under
from common.messages import Arrays, ValidateAnswer, ValidateQuestion
from common.release import folds_from_arrays
from common.statistics.delong import delong_covariance, placement_sums
from common.statistics.operating_point import confusion
from common.statistics.scores import round_scores, score_histogram
from common.subgroup_cells import subgroup_cells


def answer(question: ValidateQuestion, context: SiteContext) -> ValidateAnswer:
    """Answer one of the steps that `ValidateQuestion` lists.

    Raises
    ------
    RunError
        The site trains in this study: it cannot validate it.
    """
    if not context.external:
        raise RunError(
            f"Site {context.site.name} trains in this study and was asked to validate it.",
            "Only external sites validate.",
        )
    if question.step == "attention":
        return attention.answer(context)
    rows = context.rows
    if question.step == "placements":
        kept = context.memory.load("external-scores")["scores"]
        sums = placement_sums(kept, rows.patient_labels, question.histograms["pooled"])
        return ValidateAnswer(placements=dict(sums.arrays()))
    if question.step == "classifiers":
        return _classifiers(question, context)
    if question.step == "subgroups":
        return ValidateAnswer(subgroups=_subgroups(context))
    return _scores(question, context)


def _scores(question: ValidateQuestion, context: SiteContext) -> ValidateAnswer:
    rows, study = context.rows, context.study
    models = folds_from_arrays(question.release, study.folds)
    every = np.ones(rows.labels.size, dtype=np.bool_)
    features = [fold_features(rows, model, every, study, external=True) for model in models]
    heads = [model.heads for model in models]
    folds = fold_scores(rows, features, heads, study.fusion.patient_score)
    thresholds = np.asarray(question.release["thresholds"], np.float64)
    kept: Arrays = {"scores": ensemble_scores(folds), "thresholds": thresholds}
    context.memory.save("external-scores", kept)
    if study.comparison.on:
        for fold, one in enumerate(features):
            context.memory.save(f"features-{fold}", one.arrays())
    if study.explain.attention:
        context.memory.save(attention.KEPT_RELEASE, question.release)
    effects = features[0].effects.values()
    small = sum(effect.mode == "identity" for effect in effects)
    return replace(
        _measured(folds, rows.patient_labels, thresholds),
        images=int(rows.labels.size),
        batches=np.array([len(effects) - small, small], dtype=np.int64),
    )


def _classifiers(question: ValidateQuestion, context: SiteContext) -> ValidateAnswer:
    """Score the same patients by the classifiers of the comparison; the features are kept."""
    rows, study, release = context.rows, context.study, question.release
    folds = []
    for fold in range(study.folds):
        columns = remembered(context, fold).columns("harmonized")
        by_slice = classifier_scores(study, standardised(columns, release, fold), release, fold)
        rule, count = study.fusion.patient_score, len(rows.patient_ids)
        folds.append(patient_scores(by_slice, rows.patient, count, rule))
    return _measured(
        np.stack(folds), rows.patient_labels, np.asarray(release["thresholds"], np.float64)
    )


def _measured(
    folds: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    thresholds: npt.NDArray[np.float64],
) -> ValidateAnswer:
    """Measure the folds' patient scores (F, M, P), and their mean, at the frozen thresholds."""
    scores = ensemble_scores(folds)
    aucs, covariance = delong_covariance(scores, labels)
    counts = [
        confusion(row, labels, float(threshold))
        for row, threshold in zip(scores, thresholds, strict=True)
    ]
    alone = [delong_covariance(round_scores(one), labels)[0] for one in folds]
    return ValidateAnswer(
        histograms=np.stack([score_histogram(row, labels) for row in scores]),
        auc=aucs,
        covariance=covariance,
        fold_auc=np.stack(alone),
        confusion=np.array([[c.tp, c.fp, c.tn, c.fn] for c in counts], dtype=np.int64),
    )


def _subgroups(context: SiteContext) -> Arrays:
    """Measure the study's subgroups by the scores and thresholds of the look that was."""
    rows, study = context.rows, context.study
    kept, chosen = context.memory.load("external-scores"), used(rows)
    cells: Arrays = {}
    for variable in study.report.subgroups:
        own = subgroup_cells(
            np.asarray(kept["scores"], np.float64)[:, chosen],
            np.asarray(kept["thresholds"], np.float64),
            rows.patient_labels[chosen],
            levels_of(rows, variable),
            variable,
            study.cohort.minimum_patients_per_class,
        )
        cells |= under(own, variable.name)
    return cells
