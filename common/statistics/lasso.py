"""The LASSO path from pooled moments, and the features it selects.

Site: `common.statistics.moments.moments`. Merge: add. Server: `standardize`, then `lasso_path`
and `select`. The path is that of the pooled rows: the objective sees them through sums only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.statistics.checks import Array, Floats, Ints, StatisticsError
from common.statistics.moments import Standardized
from common.statistics.quadratic import minimise_l1


@dataclass(frozen=True, eq=False)
class LassoPath:
    """Solutions for falling penalties; the first has no feature.

    Attributes:
        lambdas: (L,) falling.
        coefficients: (L, q) of the standardised features.
        complete: whether the path ran to its last lambda; otherwise it stopped for its size.
    """

    lambdas: Floats
    coefficients: Floats
    complete: bool

    @property
    def sizes(self) -> Ints:
        """(L,) features with a coefficient other than 0."""
        return np.asarray((self.coefficients != 0.0).sum(axis=1), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Selection:
    """The features for one size asked for.

    Attributes:
        size: how many were asked for; `features` may be fewer.
        features: (k,) indices, ascending.
        coefficients: (k,) of the standardised features.
        penalty: the lambda of this solution.
    """

    size: int
    features: Ints
    coefficients: Floats
    penalty: float


def lasso_path(
    problem: Standardized,
    *,
    candidates: Array | None = None,
    largest: int = 50,
    steps: int = 200,
    ratio: float = 1e-3,
) -> LassoPath:
    """Minimise 1/(2W) |y - Xb|_W^2 + lambda |b|_1 for falling lambda.

    X is standardised and y centred. The lambdas fall geometrically from the smallest that leaves
    no feature to `ratio` times it; the path stops after the first solution with more than
    `largest` features.

    Args:
        problem: from `standardize`; constant features never enter.
        candidates: features that may enter, indices or booleans (q,), as from `prune`; all by
            default.
        largest: features after which to stop.
        steps: number of lambdas, at least 2.
        ratio: of the last lambda to the first, between 0 and 1.

    Raises:
        StatisticsError: if an argument is out of range, or no candidate is related to the target.
    """
    q = problem.mean.size
    if largest < 1 or steps < 2 or not 0.0 < ratio < 1.0:
        raise StatisticsError(
            f"A path of {steps} steps to {ratio} with up to {largest} features was asked for.",
            "Ask for at least 1 feature, 2 steps and a ratio between 0 and 1.",
        )
    allowed = ~problem.constant
    if candidates is not None:
        barred = np.ones(q, dtype=np.bool_)
        barred[np.asarray(candidates)] = False
        allowed &= ~barred
    entries = np.flatnonzero(allowed)
    covariance = problem.covariance[entries]
    first = float(np.abs(covariance).max(initial=0.0))
    if first <= 0.0:
        raise StatisticsError(
            "No feature that may enter is related to the target.", "Allow others, or more rows."
        )
    correlation = problem.correlation[np.ix_(entries, entries)]
    lambdas = first * np.geomspace(1.0, ratio, steps)
    solutions = np.zeros((steps, q))
    # The first lambda is where the first feature is about to enter: its solution is 0 exactly.
    beta, done = np.zeros(entries.size), 1
    for step in range(1, steps):
        beta = minimise_l1(correlation, covariance, np.full(entries.size, lambdas[step]), beta)
        solutions[step, entries] = beta
        done = step + 1
        if np.count_nonzero(beta) > largest:
            break
    return LassoPath(lambdas[:done], solutions[:done], complete=done == steps)


def select(path: LassoPath, sizes: Sequence[int] = (5, 10, 20, 50)) -> list[Selection]:
    """Return, for each size, the last solution of the path with at most that many features.

    A selection has fewer features than its size where the path steps over it, or ends before it.

    Raises:
        StatisticsError: if a size is below 1, or the path stopped before a larger size could be
            judged (ask `lasso_path` for `largest` at least the largest size).
    """
    found = path.sizes
    selections = []
    for size in sizes:
        if size < 1:
            raise StatisticsError(f"A size of {size} was asked for.", "It is at least 1.")
        if not path.complete and found[-1] <= size:
            raise StatisticsError(
                f"The path stopped at {found[-1]} features, and {size} were asked for.",
                "Give lasso_path a `largest` of at least the largest size.",
            )
        last = int(np.flatnonzero(found <= size)[-1])
        features = np.flatnonzero(path.coefficients[last])
        selections.append(
            Selection(
                size=size,
                features=features.astype(np.int64),
                coefficients=path.coefficients[last, features],
                penalty=float(path.lambdas[last]),
            )
        )
    return selections
