"""A proportion with Wilson's interval (E. B. Wilson, J Am Stat Assoc 1927;22:209-212)."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from common.statistics.auc import normal_quantile
from common.statistics.checks import StatisticsError


@dataclass(frozen=True)
class Proportion:
    """`numerator` of `denominator` patients, as a share with its confidence interval."""

    value: float
    lower: float
    upper: float
    numerator: int
    denominator: int


def wilson(numerator: int, denominator: int, confidence: float = 0.95) -> Proportion | None:
    """Return the proportion with Wilson's score interval; None where there are no patients.

    Raises:
        StatisticsError: if the counts are negative, or more are counted than there are.
    """
    if not 0 <= numerator <= denominator:
        raise StatisticsError(
            f"{numerator} of {denominator} is not a proportion.", "Check the counts."
        )
    z = normal_quantile(confidence)
    if denominator == 0:
        return None
    share = numerator / denominator
    shrink = 1.0 + z * z / denominator
    centre = (share + z * z / (2.0 * denominator)) / shrink
    half = z / shrink * sqrt(share * (1.0 - share) / denominator + (z / (2.0 * denominator)) ** 2)
    return Proportion(
        value=share,
        lower=0.0 if numerator == 0 else max(0.0, centre - half),
        upper=1.0 if numerator == denominator else min(1.0, centre + half),
        numerator=numerator,
        denominator=denominator,
    )
