"""Calibration of predicted probabilities, from score histograms.

Site: `common.statistics.scores.score_histogram`. Merge: add. Server: the functions here. They give
what the pooled scores, rounded to 1/1000, would give. `predicted` says which probability a bin
stands for: by default its own score; after recalibration, what `Recalibration` makes of it.

A. H. Murphy, J Appl Meteorol 1973;12:595-600 (parts of the Brier score);
B. Van Calster et al., J Clin Epidemiol 2016;74:167-176 (levels of calibration).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.statistics.checks import Array, Floats, StatisticsError, as_floats
from common.statistics.scores import BINS, STEPS, check_histogram
from common.statistics.wilson import Proportion, wilson

GRID: Floats = np.arange(BINS) / float(STEPS)
"""The score that each bin stands for (1001,)."""


@dataclass(frozen=True)
class CalibrationGroup:
    """Patients with similar predictions: how many, what was predicted, what was observed.

    `lower` and `upper` are the smallest and largest prediction in the group.
    """

    lower: float
    upper: float
    patients: int
    predicted: float
    observed: Proportion


@dataclass(frozen=True)
class BrierScore:
    """Mean squared difference of prediction and outcome, and what it is made of.

    ``score = reliability - resolution + uncertainty`` exactly, since every bin of the scores is a
    group of its own. `scaled` is ``1 - score / uncertainty``: 0 for who predicts the prevalence of
    everybody, 1 for perfection, None where only one class is there.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    scaled: float | None


def calibration_groups(
    histogram: Array, groups: int = 10, predicted: Array | None = None
) -> list[CalibrationGroup]:
    """Group the patients by prediction, as evenly as ties allow.

    A patient whose rank is r of n, counted from 0, belongs to group floor(groups r / n); patients
    of one bin stay together, in the group of the first of them. Each group's observed share has
    Wilson's interval. Empty groups are left out.

    Args:
        histogram: (2, 1001) counts; row 0 negatives, row 1 positives.
        groups: how many at most, 1 or more.
        predicted: (1001,) probability of each bin, non-decreasing; its score by default.

    Raises:
        StatisticsError: if there are no patients, or `groups` or `predicted` make no sense.
    """
    if groups < 1:
        raise StatisticsError(f"{groups} groups were asked for.", "Ask for 1 or more.")
    counts, chance = _checked(histogram, predicted)
    everybody = counts.sum(axis=0)
    before = np.cumsum(everybody) - everybody
    group = np.where(everybody > 0, groups * before // everybody.sum(), -1)
    found = []
    for number in np.unique(group[group >= 0]):
        inside = group == number
        patients = int(everybody[inside].sum())
        observed = wilson(int(counts[1, inside].sum()), patients)
        if observed is None:
            continue
        found.append(
            CalibrationGroup(
                float(chance[inside].min()),
                float(chance[inside].max()),
                patients,
                float(chance[inside] @ everybody[inside]) / patients,
                observed,
            )
        )
    return found


def brier_score(histogram: Array, predicted: Array | None = None) -> BrierScore:
    """Return the Brier score with Murphy's parts, a group being all patients of one bin.

    Raises:
        StatisticsError: if there are no patients, or `predicted` is not one probability a bin.
    """
    counts, chance = _checked(histogram, predicted)
    negative, positive = counts.astype(np.float64)
    everybody = negative + positive
    patients = everybody.sum()
    there = everybody > 0
    weight = everybody[there] / patients
    observed = positive[there] / everybody[there]
    prevalence = float(positive.sum() / patients)
    uncertainty = prevalence * (1.0 - prevalence)
    score = float((negative @ chance**2 + positive @ (1.0 - chance) ** 2) / patients)
    return BrierScore(
        score,
        float(weight @ (chance[there] - observed) ** 2),
        float(weight @ (observed - prevalence) ** 2),
        uncertainty,
        None if uncertainty == 0.0 else 1.0 - score / uncertainty,
    )


def check_predicted(predicted: Array | None) -> Floats:
    """Return the probability of each bin (1001,).

    Raises:
        StatisticsError: if they are not as many as bins, outside [0, 1], or decrease.
    """
    if predicted is None:
        return GRID
    chance = as_floats(predicted, "The predictions", 1)
    if chance.shape != (BINS,):
        raise StatisticsError(
            f"There are {chance.size} predictions for {BINS} bins.", "Give one a bin."
        )
    if (chance < 0.0).any() or (chance > 1.0).any():
        raise StatisticsError("A prediction is outside 0 to 1.", "Give probabilities.")
    if (np.diff(chance) < 0.0).any():
        raise StatisticsError(
            "The predictions decrease where the scores increase.",
            "A recalibration keeps the order of patients.",
        )
    return chance


def _checked(histogram: Array, predicted: Array | None) -> tuple[Array, Floats]:
    counts = check_histogram(histogram, both_classes=False)
    if counts.sum() == 0:
        raise StatisticsError(
            "There are no patients among the scores.", "Calibration needs patients."
        )
    return counts, check_predicted(predicted)
