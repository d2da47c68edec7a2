"""Paired comparison of the AUCs of several models on the same patients (DeLong).

Within one site: `delong_covariance`, exact and local. Over sites: first the score histograms of
all models are summed; then each site answers `placement_sums` against the pooled histograms (two
rounds in all), the answers are added, and the server solves `covariance_from_sums`. Both ways
agree to rounding on scores rounded to 1/1000. Then `compare`.

E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 1988;44:837-845;
X. Sun, W. Xu, IEEE Signal Processing Letters 2014;21:1389-1393 (ranks instead of pairs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from common.statistics.checks import Array, Floats, Ints, StatisticsError, as_floats, as_labels
from common.statistics.scores import (
    BINS,
    check_histogram,
    placement_tables,
    score_bins,
    score_histogram,
)
from common.statistics.sums import Sums, pack_symmetric, unpack_symmetric

ZERO_VARIANCE = 1e-12


@dataclass(frozen=True)
class Comparison:
    """The difference of two AUCs (first minus second), its z and two-sided p.

    `z` and `p` are None where the test is undefined: the AUCs differ but their difference has no
    variance (as when one model separates the classes completely and the other inverts them).
    """

    difference: float
    z: float | None
    p: float | None


@dataclass(frozen=True, eq=False)
class PlacementSums(Sums):
    """What a site sums over its patients, for m models; row 0 negatives, row 1 positives.

    Attributes:
        counts: (2,) patients.
        values: (2, m) sums of the placement values.
        products: (2, m(m+1)/2) sums of their products, packed upper triangle.
    """

    integers: ClassVar[frozenset[str]] = frozenset({"counts"})

    counts: Ints
    values: Floats
    products: Floats

    def __post_init__(self) -> None:
        models = self.values.shape[-1]
        shapes = (self.counts.shape, self.values.shape, self.products.shape)
        if shapes != ((2,), (2, models), (2, models * (models + 1) // 2)):
            raise StatisticsError(
                f"DeLong sums have the shapes {shapes}.", "Make them with placement_sums."
            )


def placement_sums(scores: Array, labels: Array, pooled: Array) -> PlacementSums:
    """Return a site's sums of placement values against the pooled patients.

    Args:
        scores: (m, n) in [0, 1], a row a model; rounded to 1/1000 here.
        labels: (n,) 0 or 1.
        pooled: (m, 2, 1001) score histograms of all sites, this one among them.

    Raises:
        StatisticsError: if shapes disagree, a class is empty over all sites, or the pooled
            histograms do not hold this site's patients.
    """
    values = as_floats(scores, "The scores", 2)
    positive = as_labels(labels, values.shape[1])
    models = values.shape[0]
    if np.shape(pooled) != (models, 2, BINS):
        raise StatisticsError(
            f"There are pooled histograms of shape {np.shape(pooled)} for {models} models.",
            f"Give ({models}, 2, {BINS}).",
        )
    bins = score_bins(values)
    placed = np.empty_like(values)
    for model in range(models):
        histogram = check_histogram(pooled[model])
        if (histogram < score_histogram(values[model], positive)).any():
            raise StatisticsError(
                "The pooled histograms do not hold this site's own patients.",
                "Histograms and placement sums must be of the same patients and models.",
            )
        of_negative, of_positive = placement_tables(histogram)
        placed[model] = np.where(positive, of_positive[bins[model]], of_negative[bins[model]])
    groups = (placed[:, ~positive], placed[:, positive])
    return PlacementSums(
        counts=np.array([group.shape[1] for group in groups], dtype=np.int64),
        values=np.stack([group.sum(axis=1) for group in groups]),
        products=np.stack([pack_symmetric(group @ group.T) for group in groups]),
    )


def covariance_from_sums(sums: PlacementSums) -> tuple[Floats, Floats]:
    """Return the pooled AUCs (m,) and their DeLong covariance (m, m).

    Raises:
        StatisticsError: if a class has fewer than two patients.
    """
    _need_two(int(sums.counts[0]), int(sums.counts[1]))
    models = sums.values.shape[1]
    covariance = np.zeros((models, models))
    for label in (0, 1):
        patients = float(sums.counts[label])
        mean = sums.values[label] / patients
        second = unpack_symmetric(sums.products[label], models) / patients
        covariance += (second - np.outer(mean, mean)) / (patients - 1.0)
    return sums.values[1] / float(sums.counts[1]), covariance


def delong_covariance(scores: Array, labels: Array) -> tuple[Floats, Floats]:
    """Return the AUCs (m,) and their DeLong covariance (m, m) of patients in one place.

    Args:
        scores: (m, n) finite, a row a model; used as given, not rounded.
        labels: (n,) 0 or 1.

    Raises:
        StatisticsError: if shapes disagree or a class has fewer than two patients.
    """
    from scipy.stats import rankdata

    values = as_floats(scores, "The scores", 2)
    positive = as_labels(labels, values.shape[1])
    n1 = int(positive.sum())
    n0 = int(positive.size - n1)
    _need_two(n0, n1)
    overall = rankdata(values, axis=1)
    of_positive = (overall[:, positive] - rankdata(values[:, positive], axis=1)) / n0
    of_negative = 1.0 - (overall[:, ~positive] - rankdata(values[:, ~positive], axis=1)) / n1
    aucs = of_positive.mean(axis=1)
    covariance = np.atleast_2d(np.cov(of_positive)) / n1 + np.atleast_2d(np.cov(of_negative)) / n0
    return np.asarray(aucs, dtype=np.float64), np.asarray(covariance, dtype=np.float64)


def compare(aucs: Floats, covariance: Floats, i: int, j: int) -> Comparison:
    """Test whether models `i` and `j` have the same AUC.

    A variance of the difference below 1e-12 of the two AUCs' own counts as none: then equal AUCs
    give z = 0 and p = 1, and unequal ones neither z nor p, which are None.
    """
    from scipy.stats import norm

    difference = float(aucs[i] - aucs[j])
    own = float(covariance[i, i] + covariance[j, j])
    variance = own - 2.0 * float(covariance[i, j])
    if variance <= ZERO_VARIANCE * own:
        if abs(difference) <= ZERO_VARIANCE:
            return Comparison(difference, 0.0, 1.0)
        return Comparison(difference, None, None)
    z = difference / float(np.sqrt(variance))
    return Comparison(difference, z, float(2.0 * norm.sf(abs(z))))


def _need_two(negatives: int, positives: int) -> None:
    """Refuse a class with fewer than two patients."""
    if min(negatives, positives) < 2:
        raise StatisticsError(
            f"There are {negatives} patients without and {positives} with scar.",
            "A comparison of AUCs needs at least two of each.",
        )
