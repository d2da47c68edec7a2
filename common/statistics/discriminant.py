"""Stack several scores into one by linear discriminant analysis, from sums.

Site: `common.statistics.moments.moments` over the scores of patients that no scorer was fitted on.
Merge: add. Server: `discriminant`. Unlike logistic regression it has a finite answer when the
scores separate the classes completely, as on a small validation set they often do, and it needs
one round.

R. A. Fisher, Ann Eugenics 1936;7:179-188; stacking on out-of-fold scores: D. H. Wolpert, Neural
Networks 1992;5:241-259; non-negative weights: L. Breiman, Machine Learning 1996;24:49-64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.statistics.checks import Floats, StatisticsError
from common.statistics.moments import Moments
from common.statistics.sums import unpack_symmetric

RIDGE = 1e-9


@dataclass(frozen=True, eq=False)
class Discriminant:
    """The stacked logit: `intercept` + `weights` (k,) times the k scores; no weight below 0."""

    intercept: float
    weights: Floats


def discriminant(sums: Moments) -> Discriminant:
    """Solve the discriminant of k scores with 0/1 target and weights from its moments.

    A score that would get a negative weight is left out, the worst first. One that does not vary
    within the classes gets no weight. Where no score is higher in the positive class, there is
    nothing to learn from: all that vary are averaged, each over its spread.

    Raises:
        StatisticsError: a class is absent, or no score varies.
    """
    total, positive = float(sums.weight), float(sums.wy)
    if not 0.0 < positive < total:
        raise StatisticsError(
            "The scores to be stacked are of one class only.",
            "Validation patients of both classes are needed.",
        )
    high = sums.xwy / positive
    low = (sums.wx - sums.xwy) / (total - positive)
    within = unpack_symmetric(sums.xwx, high.size)
    within = within - positive * np.outer(high, high) - (total - positive) * np.outer(low, low)
    within = within / total
    weights = _non_negative(within, high - low)
    prior = float(np.log(positive / (total - positive)))
    return Discriminant(prior - float(weights @ (high + low)) / 2.0, weights)


def _non_negative(within: Floats, difference: Floats) -> Floats:
    spread = np.diag(within)
    kept = np.flatnonzero(spread > 1e-12)
    while kept.size:
        part = within[np.ix_(kept, kept)]
        ridge = RIDGE * np.diag(np.diag(part))
        solved = np.linalg.solve(part + ridge, difference[kept])
        if (solved > 0.0).all():
            weights = np.zeros(difference.size)
            weights[kept] = solved
            return weights
        kept = np.delete(kept, int(np.argmin(solved * np.sqrt(spread[kept]))))
    vary = spread > 1e-12
    if not vary.any():
        raise StatisticsError(
            "None of the scores to be stacked varies within the classes.",
            "The models found nothing; look at their validation AUC.",
        )
    even: Floats = np.where(vary, 1.0 / np.sqrt(np.where(vary, spread, 1.0)), 0.0)
    even /= vary.sum()
    return even
