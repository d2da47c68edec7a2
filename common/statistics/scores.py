"""Scores as they are shared: rounded to 1/1000, counted in a histogram for each class.

Site: `score_histogram`. Merge: add the histograms. Server: `common.statistics.auc` for the AUC
and its variance, `common.statistics.operating_point` for the threshold; from the histograms both
are exactly those of the pooled, rounded scores.
"""

from __future__ import annotations

import numpy as np

from common.statistics.checks import Array, Floats, Ints, StatisticsError, as_floats, as_labels

STEPS = 1000
BINS = STEPS + 1


def score_bins(scores: Array) -> Ints:
    """Return the bin 0..1000 of each score in [0, 1], of any shape: 1000 times it, rounded.

    An exact half goes to the even neighbour, as NumPy rounds.

    Raises:
        StatisticsError: if a score is NaN or outside [0, 1].
    """
    array = np.asarray(scores, dtype=np.float64)
    outside = ~((array >= 0.0) & (array <= 1.0))
    if outside.any():
        raise StatisticsError(
            f"{int(outside.sum())} of {array.size} scores are NaN or outside 0 to 1.",
            "A score is a probability: check the model that made it.",
        )
    return np.asarray(np.rint(array * STEPS), dtype=np.int64)


def round_scores(scores: Array) -> Floats:
    """Return the scores rounded to 1/1000: the only form in which they are ever compared."""
    return score_bins(scores) / float(STEPS)


def score_histogram(scores: Array, labels: Array) -> Ints:
    """Count a site's patients by class and rounded score.

    Args:
        scores: (n,) in [0, 1], one a patient. No patients is allowed: all counts are 0.
        labels: (n,) 0 or 1.

    Returns:
        (2, 1001) int64: row 0 the patients of label 0, row 1 those of label 1.

    Raises:
        StatisticsError: if a score is outside [0, 1] or a label is neither 0 nor 1.
    """
    values = as_floats(scores, "The scores", 1)
    positive = as_labels(labels, values.size)
    flat = score_bins(values) + BINS * positive.astype(np.int64)
    return np.bincount(flat, minlength=2 * BINS).reshape(2, BINS).astype(np.int64)


def check_histogram(histogram: Array, *, both_classes: bool = True) -> Ints:
    """Return `histogram` (2, 1001) as int64, after checking it.

    Raises:
        StatisticsError: if the shape is wrong, a count is negative or not whole, or, where
            `both_classes`, a class has no patients.
    """
    array = np.asarray(histogram)
    if array.shape != (2, BINS):
        raise StatisticsError(
            f"A score histogram has shape {array.shape} where (2, {BINS}) is needed.",
            "Make it with score_histogram.",
        )
    whole = np.rint(np.asarray(array, dtype=np.float64))
    if not np.isfinite(whole).all() or (whole < 0).any() or (np.abs(array - whole) > 1e-3).any():
        raise StatisticsError(
            "A score histogram holds counts that are negative or not whole.",
            "The site that sent them cannot be counted.",
        )
    counts = whole.astype(np.int64)
    if both_classes:
        for label in (0, 1):
            if counts[label].sum() == 0:
                raise StatisticsError(
                    f"There are no patients of class {label} among the scores.",
                    "An AUC or threshold needs patients of both classes.",
                )
    return counts


def placement_tables(histogram: Array) -> tuple[Floats, Floats]:
    """Return, for each bin, the placement value of a negative and of a positive patient in it.

    The placement value of a patient is the share of the other class that it is ranked on the
    right side of, ties counting half (DeLong et al., Biometrics 1988;44:837, V01 and V10).

    Args:
        histogram: (2, 1001) counts with patients of both classes.

    Returns:
        Two arrays (1001,): share of positives above the bin; share of negatives below it.
    """
    negative, positive = check_histogram(histogram)
    below = np.cumsum(negative) - 0.5 * negative
    above = positive.sum() - np.cumsum(positive) + 0.5 * positive
    return above / positive.sum(), below / negative.sum()
