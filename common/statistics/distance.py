"""How far a row lies from the distribution of the training rows, from their pooled moments.

Server: `shrunken`, which keeps mean, standard deviation and a shrunk correlation of a few features.
Site: `Distribution.distances` of its own rows, and `Distribution.limit` to hold them against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.statistics.checks import Array, Floats, Ints, StatisticsError
from common.statistics.moments import Standardized


@dataclass(frozen=True, eq=False)
class Distribution:
    """Mean and covariance of m features over `rows` training rows.

    Attributes:
        features: (m,) columns among the q features.
        mean, sd: (m,) of those columns.
        correlation: (m, m) shrunk towards no correlation, so that it can be inverted.
        rows: slices that it was estimated from.
    """

    features: Ints
    mean: Floats
    sd: Floats
    correlation: Floats
    rows: int

    def distances(self, columns: Array) -> Floats:
        """Give rows (n, q) their distance (n,): Mahalanobis, over the square root of m.

        The distance is 1 where a row lies as far off, per direction, as training rows do on
        average.

        Raises:
            StatisticsError: a value is NaN or infinite.
        """
        away = (np.asarray(columns, np.float64)[:, self.features] - self.mean) / self.sd
        if not np.isfinite(away).all():
            raise StatisticsError(
                "A feature is not finite, so that its distance is none.", "Look at the image."
            )
        solved = np.linalg.solve(self.correlation, away.T).T
        squares = np.sum(away * solved, axis=1) / self.features.size
        return np.asarray(np.sqrt(np.maximum(squares, 0.0)))

    def limit(self, share: float) -> float | None:
        """Give the distance that a share of new rows stays below, if features are normal.

        By Hotelling's T-squared of one further row, whose F distribution corrects for the few rows
        that mean and covariance come from; None where there are too few for it (H. Hotelling, Ann
        Math Statist 1931;2:360; T. W. Anderson, Multivariate Statistical Analysis, section 5.2).
        """
        from scipy.stats import f

        n, m = self.rows, self.features.size
        if n <= m + 1:
            return None
        scale = (n + 1) * (n - 1) / (n * (n - m))
        return float(np.sqrt(scale * f.ppf(share, m, n - m)))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the fields by name, for saving."""
        return {
            "features": self.features,
            "mean": self.mean,
            "sd": self.sd,
            "correlation": self.correlation,
            "rows": np.asarray(self.rows, np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Distribution:
        """Read back what `arrays` returned."""
        return cls(
            np.asarray(arrays["features"], np.int64),
            np.asarray(arrays["mean"], np.float64),
            np.asarray(arrays["sd"], np.float64),
            np.asarray(arrays["correlation"], np.float64),
            int(arrays["rows"]),
        )


def shrunken(pooled: Standardized, features: Array, rows: int) -> Distribution | None:
    """Keep the distribution of some features; those that do not vary are left out.

    The correlation is shrunk towards the identity by the oracle approximating shrinkage, which
    needs nothing but the correlation itself and the number of rows (Chen et al., IEEE Trans Signal
    Process 2010;58:5016, eq. 23).

    Args:
        pooled: moments of all q features over the training rows.
        features: (m,) columns to keep.
        rows: how many rows those moments are over.

    Returns:
        None where no feature varies.
    """
    kept = np.unique(np.asarray(features, np.int64))
    kept = kept[~pooled.constant[kept]]
    if not kept.size:
        return None
    correlation = pooled.correlation[np.ix_(kept, kept)]
    share = oracle_shrinkage(correlation, rows)
    mixed = (1.0 - share) * correlation + share * np.eye(kept.size)
    return Distribution(kept, pooled.mean[kept], pooled.sd[kept], mixed, rows)


def oracle_shrinkage(covariance: Floats, rows: int) -> float:
    """Return how much of (m, m) is replaced by its mean variance on the diagonal, 0 to 1.

    As scikit-learn's OAS has it, which leaves out the term -2/m of the paper's numerator.
    """
    m = covariance.shape[0]
    square, mean = float(np.mean(covariance**2)), float(np.trace(covariance)) / m
    numerator = square + mean**2
    denominator = (rows + 1.0) * (square - mean**2 / m)
    return 1.0 if denominator <= 0.0 else min(1.0, numerator / denominator)
