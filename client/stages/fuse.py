"""Fuse: sums for the LASSO, then of every candidate head, then for stacking the chosen ones."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from client.context import SiteContext
from client.fold_features import FoldFeatures, fold_features
from client.scoring import network_measure, patient_scores, weighted_loss
from common.heads import VARIANTS, below, heads_from_arrays, probability, under
from common.messages import Arrays, FuseAnswer, FuseQuestion
from common.release import folds_from_arrays
from common.statistics.logistic import LogisticTask, logistic_batch
from common.statistics.moments import Moments, moments
from common.statistics.sums import total

Floats = npt.NDArray[np.float64]

SMALLEST = 1e-3
"""Scores are reported in steps of it, so none counts as surer when heads are compared."""


def answer(question: FuseQuestion, context: SiteContext) -> FuseAnswer:
    """Answer the step ``moments``, ``heads`` or ``stack``."""
    if question.step == "moments":
        return FuseAnswer(_moments(question.model, context))
    if question.step == "heads":
        return FuseAnswer(_heads(question.problems, context))
    return FuseAnswer(_stack(question.model, context))


def remembered(context: SiteContext, fold: int) -> FoldFeatures:
    """Give the fold's features that the step ``moments`` computed."""
    kept = context.memory.load(f"features-{fold}")
    harmonized, raw, deep = (
        np.asarray(kept[name], np.float64) for name in ("harmonized", "raw", "deep")
    )
    return FoldFeatures(harmonized, raw, deep, logits=np.zeros(0), effects={})


def _moments(model: Arrays, context: SiteContext) -> Arrays:
    rows, study = context.rows, context.study
    weights = np.asarray(model["class_weights"], np.float64)
    sums: Arrays = {}
    for fold, fold_model in enumerate(folds_from_arrays(model, study.folds)):
        trains = rows.trains(fold)
        features = fold_features(rows, fold_model, trains, study, external=False)
        context.memory.save(f"features-{fold}", features.arrays())
        validation, histogram = network_measure(
            rows,
            features.logits[rows.validates(fold)],
            fold,
            np.asarray(model["network_weights"], np.float64)[fold],
            study.fusion.patient_score,
        )
        sums |= {f"{fold}.validation": validation, f"{fold}.histogram": histogram}
        for number, variant in enumerate(VARIANTS):
            own = moments(
                features.columns(variant), rows.labels, weights[fold][rows.labels], rows=trains
            )
            sums |= under(own.arrays(), f"{fold}.{number}")
    return sums


def _heads(problems: Arrays, context: SiteContext) -> Arrays:
    """Sums of all problems, in their order, and their loss on the validation slices."""
    rows = context.rows
    index = np.asarray(problems["index"], np.int64)
    class_weights = np.asarray(problems["class_weights"], np.float64)
    tasks = _tasks(problems)
    sums: Arrays = {}
    features = {fold: remembered(context, fold) for fold in np.unique(index[:, 0])}
    for fold, variant in np.unique(index, axis=0):
        group = f"{fold}.{variant}"
        mean, sd = (np.asarray(problems[f"{group}.{name}"], np.float64) for name in ("mean", "sd"))
        columns = (features[fold].columns(VARIANTS[variant]) - mean) / sd
        loadings = problems.get(f"{group}.loadings")
        if loadings is not None:
            radiomic = len(loadings)
            components = columns[:, :radiomic] @ np.asarray(loadings, np.float64)
            columns = np.concatenate([components, columns[:, radiomic:]], axis=1)
        trains, validates = rows.trains(fold), rows.validates(fold)
        weights = class_weights[fold][rows.labels]
        own = [tasks[k] for k in np.flatnonzero((index == (fold, variant)).all(axis=1))]
        weighted = [LogisticTask(task.columns, task.coef, weights[trains]) for task in own]
        batch = logistic_batch(columns[trains], rows.labels[trains], weighted)
        losses = _validation_losses(columns[validates], own, context, fold, class_weights[fold])
        sums |= under(batch.arrays() | {"validation": np.array(losses)}, group)
    return sums


def _validation_losses(
    held_out: Floats, tasks: list[LogisticTask], context: SiteContext, fold: int, weights: Floats
) -> list[Floats]:
    """Loss and weight of each head over the fold's validation patients, scored as they will be."""
    rows = context.rows
    logits = np.stack([task.coef[0] + held_out[:, task.columns] @ task.coef[1:] for task in tasks])
    scores = patient_scores(
        probability(logits),
        rows.patient[rows.validates(fold)],
        len(rows.patient_ids),
        context.study.fusion.patient_score,
    )
    seen = np.isfinite(scores[0])
    bounded = np.clip(scores[:, seen], SMALLEST, 1.0 - SMALLEST)
    labels = rows.patient_labels[seen]
    return [weighted_loss(np.log(own / (1.0 - own)), labels, weights) for own in bounded]


def _tasks(problems: Arrays) -> list[LogisticTask]:
    """Cut the flat arrays of a question into its problems."""
    offsets = np.asarray(problems["offsets"], np.int64)
    bounds = itertools.pairwise(offsets)
    return [
        LogisticTask(
            np.asarray(problems["features"][start:stop], np.int64),
            # Each problem before this one has an intercept more than it has features.
            np.asarray(problems["coefficients"][start + k : stop + k + 1], np.float64),
        )
        for k, (start, stop) in enumerate(bounds)
    ]


def _stack(model: Arrays, context: SiteContext) -> Arrays:
    """Moments of the logits that validation slices get from the heads that did not see them."""
    rows, study = context.rows, context.study
    class_weights = np.asarray(model["class_weights"], np.float64)
    parts: dict[str, list[Moments]] = {variant: [] for variant in VARIANTS}
    for fold in range(study.folds):
        heads = heads_from_arrays(below(model, str(fold)))
        features, validates = remembered(context, fold), rows.validates(fold)
        for variant in VARIANTS:
            columns = features.columns(variant)[validates]
            pair = (heads[("radiomics", variant)], heads[("deep", "harmonized")])
            logits = np.stack([head.logits(columns) for head in pair], axis=1)
            labels = rows.labels[validates]
            parts[variant].append(moments(logits, labels, class_weights[fold][labels]))
    sums: Arrays = {}
    for variant, own in parts.items():
        sums |= under(total(own).arrays(), variant)
    return sums
