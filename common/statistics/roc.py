"""The ROC curve of a score histogram: exactly that of the pooled, rounded scores.

Site: `common.statistics.scores.score_histogram`. Merge: add. Server: `roc_curve`. Each point is a
threshold; around it lies Wilson's interval of the sensitivity at that threshold, point by point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.statistics.checks import Array, Floats
from common.statistics.scores import STEPS, check_histogram
from common.statistics.wilson import wilson


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Corners of the curve from (0, 0) to (1, 1), by falling threshold; all (n,).

    The first threshold is infinite: nobody is called positive. `lower` and `upper` bound the
    sensitivity at 95 %, the false positive rate taken as it is.
    """

    thresholds: Floats
    false_positive: Floats
    sensitivity: Floats
    lower: Floats
    upper: Floats


def roc_curve(histogram: Array) -> RocCurve:
    """Return a point for each score that occurs.

    Args:
        histogram: (2, 1001) counts with patients of both classes.

    Raises:
        StatisticsError: if a class has no patients.
    """
    counts = check_histogram(histogram)
    bins = np.flatnonzero(counts.sum(axis=0))[::-1]
    called = np.concatenate([np.zeros((2, 1), np.int64), np.cumsum(counts[:, bins], axis=1)], 1)
    totals = counts.sum(axis=1)
    shares = [wilson(int(found), int(totals[1])) for found in called[1]]
    bounds = np.array([[one.lower, one.upper] for one in shares if one is not None])
    return RocCurve(
        np.concatenate([[np.inf], bins / float(STEPS)]),
        called[0] / totals[0],
        called[1] / totals[1],
        bounds[:, 0],
        bounds[:, 1],
    )
