"""Leading components of the pooled features, from their standardised moments.

They are found at the server from sums that it has anyhow (`common.statistics.moments`), and say
where a site is to look; the rows stay at the site.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.statistics.checks import Array, Floats
from common.statistics.moments import Standardized


@dataclass(frozen=True, eq=False)
class Components:
    """`axes` (p, k) by which rows (n, p), less `center` (p,), get components of unit variance."""

    center: Floats
    axes: Floats

    def of(self, x: Array) -> Floats:
        """Give the components of rows: (n, k)."""
        found: Floats = (np.asarray(x, dtype=np.float64) - self.center) @ self.axes
        return found


def leading_components(pooled: Standardized, features: int, count: int) -> Components:
    """Give the `count` components of the first so many features that carry most variance.

    Fewer, where fewer vary; the others are 0. An axis points where its largest weight is positive.
    """
    from scipy.linalg import eigh

    correlation = pooled.correlation[:features, :features]
    first = max(features - count, 0)
    values, vectors = eigh(correlation, subset_by_index=(first, features - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(values.size)]
    vectors = vectors * np.sign(largest)
    carries = values > 1e-9
    scale = np.where(carries, 1.0 / np.sqrt(np.where(carries, values, 1.0)), 0.0)
    sd = np.where(pooled.constant, 1.0, pooled.sd)[:features]
    axes = np.zeros((features, count))
    axes[:, : values.size] = vectors * scale / sd[:, None]
    axes[pooled.constant[:features]] = 0.0
    return Components(pooled.mean[:features].copy(), axes)
