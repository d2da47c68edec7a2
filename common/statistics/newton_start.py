"""Where Newton's method begins: near the answer, from moments that the server has already.

Each round of Newton's method costs a message to every site, and from zero a well separated problem
needs ten. Linear discriminant analysis gives the logistic coefficients where the classes are
normal with one covariance (B. Efron, J Am Stat Assoc 1975;70:892-898), here with the problem's own
penalty. How far to trust the covariance within the classes is tried out on a grid; of the solutions
the one is taken whose logistic objective, for normal classes, is lowest. It is only a start: the
answer does not depend on it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from common.statistics.checks import Floats
from common.statistics.moments import Standardized
from common.statistics.newton import LogisticProblem
from common.statistics.quadratic import minimise_l1

SHARES = (0.0, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95)
"""Of the covariance between the classes, how much is taken out; 0 is the least-squares fit."""
RIDGE = 1e-6
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(15)


def newton_start(
    moments: Standardized, features: npt.NDArray[np.int64], problem: LogisticProblem
) -> Floats:
    """Coefficients (m+1,) to begin with, intercept first, for m standardised features."""
    covariance = moments.covariance[features]
    correlation = moments.correlation[np.ix_(features, features)]
    variance = moments.target_sd**2
    size = features.size + 1
    penalty = np.full(size, problem.l1)
    penalty[0] = 0.0
    linear = np.concatenate([[0.0], moments.weight * covariance])
    between = np.outer(covariance, covariance) / variance
    curvature = np.zeros((size, size))
    curvature[0, 0] = moments.weight * variance
    tries = []
    for share in SHARES:
        within = correlation - share * between + RIDGE * np.eye(size - 1)
        curvature[1:, 1:] = moments.weight * variance * within
        curvature[1:, 1:] += problem.l2 * np.eye(size - 1)
        tries.append(minimise_l1(curvature, linear, penalty, np.zeros(size)))
    objectives = [
        moments.weight * _normal_loss(coef, covariance, correlation - between, moments.target_mean)
        + problem.penalty(coef)
        for coef in tries
    ]
    return tries[int(np.argmin(objectives))]


def _normal_loss(coef: Floats, covariance: Floats, within: Floats, positive: float) -> float:
    """Mean logistic loss at `coef` of two normal classes, `positive` of the weight in one."""
    b = coef[1:]
    middle = float(covariance @ b)
    spread = np.sqrt(max(float(b @ within @ b), 0.0)) * NODES
    share = WEIGHTS / WEIGHTS.sum()
    high = coef[0] + middle / positive + spread
    low = coef[0] - middle / (1.0 - positive) + spread
    return float(
        positive * (share @ np.logaddexp(0.0, -high))
        + (1.0 - positive) * (share @ np.logaddexp(0.0, low))
    )
