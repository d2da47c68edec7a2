"""The share of a feature's variance that lies between batches, from sums.

Site: `between_sums` over its own batches. Merge: add. Server: `eta_squared`, the sum of squares
between batches over the total one (R. A. Fisher, Statistical Methods for Research Workers, 1925).
Of three batches or more the sums tell how far the means lie apart, not which is which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from common.statistics.checks import Array, Floats, Ints, StatisticsError, as_floats
from common.statistics.sums import Sums

NO_VARIANCE = 1e-12


@dataclass(frozen=True, eq=False)
class BetweenSums(Sums):
    """Sums over rows and batches, for p features x of order 1.

    Attributes:
        count: () rows.
        between: (p,) sum over batches of n mean(x)^2.
        total: (p,) sum of x.
        squares: (p,) sum of x^2.
    """

    integers: ClassVar[frozenset[str]] = frozenset({"count"})

    count: Ints
    between: Floats
    total: Floats
    squares: Floats


def between_shapes(features: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of `BetweenSums`."""
    return {"count": ()} | dict.fromkeys(("between", "total", "squares"), (features,))


def between_sums(x: Array, batch: Sequence[str]) -> BetweenSums:
    """Sum features (n, p) of rows whose batches are named.

    Raises:
        StatisticsError: shapes disagree, or a value is NaN or infinite.
    """
    rows, names = as_floats(x, "The features", 2), np.array(batch, dtype=object)
    if names.shape != rows.shape[:1]:
        raise StatisticsError("There is not one batch a row.", "Check the caller.")
    between = np.zeros(rows.shape[1])
    for name in dict.fromkeys(batch):
        own = rows[names == name]
        between += own.sum(axis=0) ** 2 / len(own)
    return BetweenSums(
        count=np.asarray(len(rows), dtype=np.int64),
        between=between,
        total=rows.sum(axis=0),
        squares=(rows**2).sum(axis=0),
    )


def eta_squared(sums: BetweenSums) -> Floats:
    """Give the share (p,) from 0 to 1; NaN for a feature that does not vary.

    Raises:
        StatisticsError: there are no rows.
    """
    count = float(sums.count)
    if count <= 0.0:
        raise StatisticsError("There are no rows to compare.", "At least one batch is needed.")
    centre = sums.total**2 / count
    whole = sums.squares - centre
    varies = whole > NO_VARIANCE * count
    share = (sums.between - centre) / np.where(varies, whole, 1.0)
    return np.where(varies, np.clip(share, 0.0, 1.0), np.nan)
