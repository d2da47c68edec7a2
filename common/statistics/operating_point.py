"""The operating point: a threshold from validation histograms, and what it does elsewhere.

Site: `score_histogram` of its validation patients; later `confusion` at the frozen threshold.
Merge: add. Server: `threshold_for_sensitivity`, then `proportions`.

A patient is called positive when the score, rounded to 1/1000, is at or above the threshold. The
threshold is itself a multiple of 1/1000, the lower edge of what its bin holds after rounding, so
the whole bin is positive and the histogram gives the sensitivity exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.statistics.checks import Array, StatisticsError, as_floats, as_labels
from common.statistics.scores import STEPS, check_histogram, score_bins
from common.statistics.wilson import Proportion, wilson


def threshold_for_sensitivity(histogram: Array, target: float) -> float:
    """Return the largest threshold whose sensitivity is at least `target`, never less.

    Args:
        histogram: (2, 1001) counts of validation patients, summed over sites.
        target: sensitivity wanted, above 0 and at most 1.

    Raises:
        StatisticsError: if there is no positive patient, or `target` is out of range.
    """
    if not 0.0 < target <= 1.0:
        raise StatisticsError(
            f"A sensitivity of {target} was asked for.", "It lies above 0 and is at most 1."
        )
    positive = check_histogram(histogram, both_classes=False)[1]
    patients = int(positive.sum())
    if patients == 0:
        raise StatisticsError(
            "There are no patients of class 1 among the validation scores.",
            "A threshold for a sensitivity needs some.",
        )
    found = np.cumsum(positive[::-1])[::-1]
    return float(np.flatnonzero(found / patients >= target)[-1]) / STEPS


@dataclass(frozen=True)
class ConfusionCounts:
    """Patients by decision and truth: true and false positives, true and false negatives."""

    tp: int
    fp: int
    tn: int
    fn: int

    def arrays(self) -> dict[str, Array]:
        """Return {"counts": (4,) int64}, in the order tp, fp, tn, fn."""
        return {"counts": np.array([self.tp, self.fp, self.tn, self.fn], dtype=np.int64)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> ConfusionCounts:
        """Rebuild the counts from `arrays()`.

        Raises:
            StatisticsError: if there are not four whole, non-negative counts.
        """
        given = np.asarray(arrays.get("counts", ()), dtype=np.float64)
        if set(arrays) != {"counts"} or given.shape != (4,) or not np.isfinite(given).all():
            raise StatisticsError(
                "The confusion counts are not four numbers.", "Make them with confusion."
            )
        whole = np.rint(given)
        if (np.abs(given - whole) > 1e-3).any() or (whole < 0).any():
            raise StatisticsError(
                "A confusion count is negative or not whole.", "Make them with confusion."
            )
        return cls(*(int(count) for count in whole))

    def __add__(self, other: ConfusionCounts) -> ConfusionCounts:
        return ConfusionCounts(
            self.tp + other.tp, self.fp + other.fp, self.tn + other.tn, self.fn + other.fn
        )


def confusion(scores: Array, labels: Array, threshold: float) -> ConfusionCounts:
    """Count a site's patients at a threshold; positive means rounded score >= threshold.

    Args:
        scores: (n,) in [0, 1]; rounded to 1/1000 here.
        labels: (n,) 0 or 1.
        threshold: a multiple of 1/1000 in [0, 1].

    Raises:
        StatisticsError: if scores or labels are out of range, or the threshold is off the grid.
    """
    values = as_floats(scores, "The scores", 1)
    truth = as_labels(labels, values.size)
    edge = int(score_bins(np.array(threshold)))
    if abs(threshold * STEPS - edge) > 1e-6:
        raise StatisticsError(
            f"The threshold {threshold} is not a multiple of 1/{STEPS}.",
            f"Scores are compared in steps of 1/{STEPS}: use {edge / STEPS}.",
        )
    called = score_bins(values) >= edge
    return ConfusionCounts(
        tp=int((called & truth).sum()),
        fp=int((called & ~truth).sum()),
        tn=int((~called & ~truth).sum()),
        fn=int((~called & truth).sum()),
    )


@dataclass(frozen=True)
class Proportions:
    """What the counts say, each with Wilson's 95% interval; None where nobody is counted."""

    sensitivity: Proportion | None
    specificity: Proportion | None
    ppv: Proportion | None
    npv: Proportion | None


def proportions(counts: ConfusionCounts, confidence: float = 0.95) -> Proportions:
    """Return sensitivity, specificity and predictive values with their intervals."""
    return Proportions(
        sensitivity=wilson(counts.tp, counts.tp + counts.fn, confidence),
        specificity=wilson(counts.tn, counts.tn + counts.fp, confidence),
        ppv=wilson(counts.tp, counts.tp + counts.fp, confidence),
        npv=wilson(counts.tn, counts.tn + counts.fn, confidence),
    )
