"""From slices to patients: each model's score of each patient, by one fold or by the ensemble."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from client.cohort.rows import SiteRows
from client.fold_features import FoldFeatures
from common.heads import SCORED, Heads, probability
from common.statistics.scores import round_scores, score_histogram

Floats = npt.NDArray[np.float64]

_TOP = 3


def slice_scores(features: FoldFeatures, heads: Heads) -> Floats:
    """Score slices by every (model, variant) of `SCORED`: (M, n)."""
    columns = {variant: features.columns(variant) for variant in ("harmonized", "raw")}
    return np.stack([heads[key].probabilities(columns[key[1]]) for key in SCORED])


def patient_scores(scores: Floats, patient: npt.NDArray[np.int64], count: int, rule: str) -> Floats:
    """Give patients a score from those of their slices.

    Parameters
    ----------
    scores : (M, n)
    patient : (n,) the patient of each slice
    count : P, all patients; one without a slice gets NaN
    rule : ``max``, ``mean``, or ``top3``, the mean of the three highest

    Returns
    -------
    (M, P)
    """
    result = np.full((scores.shape[0], count), np.nan)
    for number in np.unique(patient):
        own = np.sort(scores[:, patient == number], axis=1)
        if rule == "max":
            result[:, number] = own[:, -1]
        elif rule == "top3":
            result[:, number] = own[:, -_TOP:].mean(axis=1)
        else:
            result[:, number] = own.mean(axis=1)
    return result


def fold_scores(
    rows: SiteRows, features: list[FoldFeatures], heads: list[Heads], rule: str
) -> Floats:
    """Score patients by each fold alone: (F, M, P)."""
    return np.stack(
        [
            patient_scores(slice_scores(one, own), rows.patient, len(rows.patient_ids), rule)
            for one, own in zip(features, heads, strict=True)
        ]
    )


def ensemble_scores(folds: Floats) -> Floats:
    """Average the folds' patient scores (F, M, P), rounded to 1/1000: (M, P)."""
    return round_scores(folds.mean(axis=0))


def network_measure(
    rows: SiteRows, logits: Floats, fold: int, class_weights: Floats, rule: str
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """How a network does on a fold's validation patients, from the logits of their slices.

    Returns
    -------
    (2,) sums of class-weighted loss and of weights over slices, and the histogram (2, 1001) of
    the patients' scores.
    """
    validates = rows.validates(fold)
    scores = patient_scores(
        probability(logits)[None], rows.patient[validates], len(rows.patient_ids), rule
    )[0]
    seen = np.isfinite(scores)
    return (
        weighted_loss(logits, rows.labels[validates], class_weights),
        score_histogram(scores[seen], rows.patient_labels[seen]),
    )


def weighted_loss(
    logits: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    class_weights: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Sums of class weight x log-loss, and of class weights: two numbers that add up."""
    weights = class_weights[labels]
    losses = np.logaddexp(0.0, np.where(labels == 1, -logits, logits))
    return np.array([np.sum(weights * losses), np.sum(weights)])
