"""Validate: score the patients of an external site with the finished release."""

from __future__ import annotations

import numpy as np

from client.context import SiteContext
from client.described import levels_of, used
from client.fold_features import fold_features
from client.scoring import ensemble_scores, fold_scores
from common.errors import RunError
from common.heads import under
from common.messages import Arrays, ValidateAnswer, ValidateQuestion
from common.release import folds_from_arrays
from common.statistics.delong import delong_covariance, placement_sums
from common.statistics.operating_point import confusion
from common.statistics.scores import round_scores, score_histogram
from common.subgroup_cells import subgroup_cells


def answer(question: ValidateQuestion, context: SiteContext) -> ValidateAnswer:
    """Answer the step ``scores``, ``placements`` or ``subgroups``.

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
    rows = context.rows
    if question.step == "placements":
        kept = context.memory.load("external-scores")["scores"]
        sums = placement_sums(kept, rows.patient_labels, question.histograms["pooled"])
        return ValidateAnswer(placements=dict(sums.arrays()))
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
    scores = ensemble_scores(folds)
    thresholds = np.asarray(question.release["thresholds"], np.float64)
    context.memory.save("external-scores", {"scores": scores, "thresholds": thresholds})
    labels = rows.patient_labels
    aucs, covariance = delong_covariance(scores, labels)
    counts = [
        confusion(row, labels, float(threshold))
        for row, threshold in zip(scores, thresholds, strict=True)
    ]
    alone = [delong_covariance(round_scores(one), labels)[0] for one in folds]
    effects = features[0].effects.values()
    small = sum(effect.mode == "identity" for effect in effects)
    return ValidateAnswer(
        images=int(rows.labels.size),
        batches=np.array([len(effects) - small, small], dtype=np.int64),
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
