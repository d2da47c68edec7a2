"""Principal components from pooled moments.

Site: `common.statistics.moments.moments`. Merge: add. Server: `standardize`, then
`principal_components`. The components are those of the pooled rows, standardised: scikit-learn's
`PCA` after its `StandardScaler`, and over weighted rows where the moments are weighted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.statistics.checks import Array, Floats, StatisticsError
from common.statistics.moments import Standardized
from common.threads import one_thread

NO_VARIANCE = 1e-10
"""Of the first component's variance: what has less is rounding, not a direction."""


@dataclass(frozen=True, eq=False)
class Components:
    """The first m components of q standardised features.

    Attributes:
        directions: (m, q) of length 1; the largest entry of each, by absolute value, is positive.
        variances: (m,) falling.
        total: the variance of all features together.
    """

    directions: Floats
    variances: Floats
    total: float

    @property
    def loadings(self) -> Floats:
        """(q, m) that make components of variance 1 from standardised features."""
        return np.asarray(self.directions.T / np.sqrt(self.variances))

    @property
    def explained(self) -> float:
        """Share of the variance that the components explain together."""
        return float(self.variances.sum() / self.total) if self.total else 0.0


def principal_components(
    problem: Standardized, *, candidates: Array, share: float, largest: int
) -> Components:
    """Find the fewest components that explain `share` of the variance, at most `largest`.

    Args:
        problem: from `standardize`; constant features have no part in any component.
        candidates: features that take part, booleans (q,) or indices.
        share: above 0, at most 1.
        largest: at least 1.

    Raises:
        StatisticsError: if an argument is out of range.
    """
    if not 0.0 < share <= 1.0 or largest < 1:
        raise StatisticsError(
            f"Up to {largest} components of {share} of the variance were asked for.",
            "Ask for at least 1, and for a share above 0 and at most 1.",
        )
    chosen = np.zeros(problem.mean.size, dtype=np.bool_)
    chosen[np.asarray(candidates)] = True
    entries = np.flatnonzero(chosen & ~problem.constant)
    # One thread: the last bits of the vectors would depend on how many cores there are.
    with one_thread():
        variances, vectors = np.linalg.eigh(problem.correlation[np.ix_(entries, entries)])
    variances, vectors = variances[::-1], vectors[:, ::-1]
    total = float(entries.size)
    real = variances > NO_VARIANCE * variances.max(initial=0.0)
    reached = np.cumsum(variances[real]) / max(total, 1.0)
    # Rounding must not ask for a component more.
    enough = int(np.searchsorted(reached, share - 1e-12)) + 1
    count = min(enough, largest, int(real.sum()))
    directions = np.zeros((count, problem.mean.size))
    directions[:, entries] = vectors[:, :count].T
    heaviest = np.abs(directions).argmax(axis=1) if entries.size else np.zeros(0, np.int64)
    signs = np.sign(directions[np.arange(count), heaviest])
    return Components(directions * signs[:, None], variances[:count].copy(), total)


def in_components(problem: Standardized, loadings: Floats) -> Standardized:
    """Give the moments of columns that are linear in standardised features.

    Args:
        loadings: (q, m); the columns have mean 0, and are taken as they are, with sd 1.
    """
    size = loadings.shape[1]
    return Standardized(
        weight=problem.weight,
        mean=np.zeros(size),
        sd=np.ones(size),
        constant=np.zeros(size, dtype=np.bool_),
        target_mean=problem.target_mean,
        target_sd=problem.target_sd,
        correlation=loadings.T @ problem.correlation @ loadings,
        covariance=loadings.T @ problem.covariance,
    )
