"""Leading components of the pooled features, by which a site finds those of its own rows.

The server finds them from sums that it has anyhow (`common.statistics.components`); the rows stay
at the site.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.statistics.checks import Array, Floats
from common.statistics.components import principal_components
from common.statistics.moments import Standardized


@dataclass(frozen=True, eq=False)
class ComponentAxes:
    """`axes` (p, k) by which rows (n, p), less `center` (p,), get components of unit variance."""

    center: Floats
    axes: Floats

    def of(self, x: Array) -> Floats:
        """Give the components of rows: (n, k)."""
        found: Floats = (np.asarray(x, dtype=np.float64) - self.center) @ self.axes
        return found


def leading_components(pooled: Standardized, features: int, count: int) -> ComponentAxes:
    """Give the `count` components of the first so many features that carry most variance.

    Fewer, where fewer vary; the others are 0. An axis points where its largest weight is positive.
    """
    found = principal_components(
        pooled, candidates=np.arange(features), share=1.0, largest=count
    ).loadings
    sd = np.where(pooled.constant, 1.0, pooled.sd)[:features]
    axes = np.zeros((features, count))
    axes[:, : found.shape[1]] = found[:features] / sd[:, None]
    return ComponentAxes(pooled.mean[:features].copy(), axes)
