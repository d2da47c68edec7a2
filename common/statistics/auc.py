"""AUC with its DeLong variance, from score histograms.

Site: `common.statistics.scores.score_histogram`. Merge: add. Server: `auc_from_histogram`, which
gives exactly the AUC (ties count half) and variance of the pooled rounded scores, since both
depend on the scores through ranks only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.statistics.checks import Array, StatisticsError, as_floats
from common.statistics.scores import check_histogram, placement_tables, score_histogram


@dataclass(frozen=True)
class AucEstimate:
    """An AUC, its DeLong variance and a confidence interval within [0, 1].

    With a single patient in a class the variance is not defined: `variance` is None and the
    interval is (0, 1), the only one that such data support. When the classes separate completely
    the variance is 0 and the interval a point; that is DeLong's estimate, not certainty.
    """

    auc: float
    variance: float | None
    lower: float
    upper: float


def auc_from_histogram(histogram: Array, confidence: float = 0.95) -> AucEstimate:
    """Return the AUC of the patients counted in `histogram`.

    The variance is S10/n1 + S01/n0, S the sample variances of the placement values (DeLong et
    al., Biometrics 1988;44:837, equation 4); the interval is normal, clipped to [0, 1].

    Args:
        histogram: (2, 1001) counts, summed over sites; row 0 negatives, row 1 positives.
        confidence: of the interval, between 0 and 1.

    Raises:
        StatisticsError: if a class has no patients, or `confidence` is not between 0 and 1.
    """
    counts = check_histogram(histogram)
    values = placement_tables(counts)
    totals = counts.sum(axis=1)
    auc = float(counts[1] @ values[1] / totals[1])
    if totals.min() < 2:
        normal_quantile(confidence)
        return AucEstimate(auc, None, 0.0, 1.0)
    variance = 0.0
    for count, value, patients in zip(counts, values, totals, strict=True):
        variance += float(count @ (value - auc) ** 2) / (patients - 1) / patients
    margin = normal_quantile(confidence) * float(np.sqrt(variance))
    return AucEstimate(auc, float(variance), max(0.0, auc - margin), min(1.0, auc + margin))


def auc_of_scores(scores: Array, labels: Array, confidence: float = 0.95) -> AucEstimate:
    """Return the AUC of one site's own patients, from scores (n,) and 0/1 labels (n,).

    The scores are rounded to 1/1000 first, as everywhere.

    Raises:
        StatisticsError: as `score_histogram` and `auc_from_histogram`.
    """
    checked = as_floats(scores, "The scores", 1)
    return auc_from_histogram(score_histogram(checked, labels), confidence)


def normal_quantile(confidence: float) -> float:
    """Return z such that a normal variable lies within +-z with probability `confidence`.

    Raises:
        StatisticsError: if `confidence` is not strictly between 0 and 1.
    """
    if not 0.0 < confidence < 1.0:
        raise StatisticsError(
            f"A confidence of {confidence} was asked for.", "It lies between 0 and 1, as 0.95."
        )
    from scipy.stats import norm

    return float(norm.isf((1.0 - confidence) / 2.0))
