"""Tests of two classes from sums and counts: t, Mann-Whitney and chi-squared.

The tests of table 1 in Fahmy et al., J Cardiovasc Magn Reson 2022;24:40. Two-sided. Each gives None
where it is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.statistics.checks import Array
from common.statistics.table_one import NumberSums


@dataclass(frozen=True)
class GroupTest:
    """A test by its name, with statistic and two-sided p."""

    name: str
    statistic: float
    p: float


def of_numbers(sums: NumberSums, name: str) -> GroupTest | None:
    """Compare a number between the classes by ``welch``, ``student`` or ``mann-whitney``."""
    if name == "mann-whitney":
        return mann_whitney(sums.histogram)
    return t_test(sums, equal_variances=name == "student")


def t_test(sums: NumberSums, *, equal_variances: bool) -> GroupTest | None:
    """Compare two means: Student's t, or Welch's (Biometrika 1947;34:28) for unequal variances.

    Positive where the positives' mean is higher. None where a class has fewer than two patients or
    nothing varies.
    """
    from scipy.stats import t

    n = np.asarray(sums.count, dtype=np.float64)
    if n.min() < 2:
        return None
    mean = sums.total / n
    variance = np.maximum(sums.squares - n * mean**2, 0.0) / (n - 1)
    if equal_variances:
        pooled = float(((n - 1) * variance).sum() / (n.sum() - 2))
        error, freedom = pooled * float((1.0 / n).sum()), float(n.sum() - 2)
    else:
        parts = variance / n
        error = float(parts.sum())
        freedom = error**2 / float((parts**2 / (n - 1)).sum()) if error > 0.0 else 1.0
    if error <= 0.0:
        return None
    statistic = float((mean[1] - mean[0]) / np.sqrt(error))
    name = "Student's t" if equal_variances else "Welch's t"
    return GroupTest(name, statistic, float(2.0 * t.sf(abs(statistic), freedom)))


def mann_whitney(histogram: Array) -> GroupTest | None:
    """Compare two histograms (2, bins) of ordered bins by ranks, patients of one bin being tied.

    The statistic is U of the positives; p by the normal approximation with correction for ties and
    continuity (Mann & Whitney, Ann Math Stat 1947;18:50).
    """
    from scipy.stats import norm

    counts = np.asarray(histogram, dtype=np.float64)
    low, high = counts.sum(axis=1)
    if low < 1 or high < 1:
        return None
    below = np.cumsum(counts[0]) - counts[0]
    u = float(counts[1] @ (below + counts[0] / 2.0))
    n = low + high
    tied = counts.sum(axis=0)
    spread = low * high / 12.0 * (n + 1.0 - float((tied**3 - tied).sum()) / (n * (n - 1.0)))
    if spread <= 0.0:
        return None
    distance = max(0.0, abs(u - low * high / 2.0) - 0.5)
    return GroupTest("Mann-Whitney", u, min(1.0, float(2.0 * norm.sf(distance / np.sqrt(spread)))))


def chi_squared(counts: Array) -> GroupTest | None:
    """Compare the levels of two classes, counts (2, levels), by Pearson's chi-squared.

    Levels that nobody has are left out; there is no correction for continuity.
    """
    from scipy.stats import chi2

    held = np.asarray(counts, dtype=np.float64)
    held = held[:, held.sum(axis=0) > 0]
    if held.shape[1] < 2 or (held.sum(axis=1) == 0).any():
        return None
    expected = np.outer(held.sum(axis=1), held.sum(axis=0)) / held.sum()
    statistic = float(((held - expected) ** 2 / expected).sum())
    return GroupTest("chi-squared", statistic, float(chi2.sf(statistic, held.shape[1] - 1)))
