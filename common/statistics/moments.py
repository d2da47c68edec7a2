"""First and second moments of features and target, and the standardised problem they give.

Site: `moments`. Merge: add. Server: `standardize`, whose correlation matrix feeds
`common.statistics.pruning` and `common.statistics.lasso`.

One pass is enough only for values of order 1: a variance taken from a sum of squares loses twice
as many digits as the mean exceeds the standard deviation by. Hand rows in already shifted and
scaled (after ComBat: minus alpha, over sigma), by numbers that are the same at all sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from common.statistics.checks import (
    Array,
    Floats,
    Ints,
    StatisticsError,
    as_floats,
    as_weights,
)
from common.statistics.sums import Sums, pack_symmetric, unpack_symmetric

NO_VARIANCE = 1e-12
NO_RELATIVE_VARIANCE = 1e-10


@dataclass(frozen=True, eq=False)
class Moments(Sums):
    """What a site sums over its rows, for q features x, target y and weights w.

    Attributes:
        count: () rows summed over, whatever their weight.
        weight: () sum of w.
        wx: (q,) sum of w x.
        xwx: (q(q+1)/2,) sum of w x x', packed upper triangle.
        wy: () sum of w y.
        xwy: (q,) sum of w x y.
        ywy: () sum of w y^2.
    """

    integers: ClassVar[frozenset[str]] = frozenset({"count"})

    count: Ints
    weight: Floats
    wx: Floats
    xwx: Floats
    wy: Floats
    xwy: Floats
    ywy: Floats

    def __post_init__(self) -> None:
        shapes = {name: array.shape for name, array in self.arrays().items()}
        if shapes != moment_shapes(self.wx.size):
            raise StatisticsError(f"Moments have the shapes {shapes}.", "Make them with moments.")


def moment_shapes(features: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of `Moments` over so many features."""
    packed = features * (features + 1) // 2
    return {
        "count": (),
        "weight": (),
        "wx": (features,),
        "xwx": (packed,),
        "wy": (),
        "xwy": (features,),
        "ywy": (),
    }


def moments(
    x: Array,
    y: Array,
    weights: Array | None = None,
    rows: Array | None = None,
    columns: Array | None = None,
) -> Moments:
    """Return a site's moments.

    Args:
        x: (n, q) features of order 1.
        y: (n,) target, 0/1 or real.
        weights: (n,) non-negative; ones by default.
        rows: which rows to sum over, booleans (n,) or indices; all by default. None is allowed to
            remain: the sums are then 0.
        columns: which features, booleans (q,) or indices in the order wanted; all by default.

    Raises:
        StatisticsError: if shapes disagree, or a value that is summed is NaN or infinite.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise StatisticsError(
            f"There are features of shape {x.shape} and a target of shape {y.shape}.",
            "Give a row of features and one target for each patient or slice.",
        )
    w = as_weights(weights, len(x))
    if rows is not None:
        chosen = np.asarray(rows)
        x, y, w = x[chosen], y[chosen], w[chosen]
    if columns is not None:
        x = x[:, np.asarray(columns)]
    features, target = as_floats(x, "The features", 2), as_floats(y, "The target", 1)
    root = np.sqrt(w)
    scaled, scaled_target = features * root[:, None], target * root
    return Moments(
        count=np.asarray(len(w), dtype=np.int64),
        weight=np.asarray(w.sum()),
        wx=scaled.T @ root,
        xwx=pack_symmetric(scaled.T @ scaled),
        wy=np.asarray(root @ scaled_target),
        xwy=scaled.T @ scaled_target,
        ywy=np.asarray(scaled_target @ scaled_target),
    )


@dataclass(frozen=True, eq=False)
class Standardized:
    """Features at mean 0 and standard deviation 1 (weighted, ddof 0), target at mean 0.

    Attributes:
        weight: sum of the weights.
        mean: (q,) of the features, as handed in.
        sd: (q,) likewise; 0 where `constant`.
        constant: (q,) True where a feature does not vary.
        target_mean: of y.
        target_sd: of y; y itself is centred, not scaled.
        correlation: (q, q) X'WX / W of the standardised features; rows of constant ones are 0.
        covariance: (q,) X'Wy / W of the standardised features and centred y; 0 where constant.
    """

    weight: float
    mean: Floats
    sd: Floats
    constant: npt.NDArray[np.bool_]
    target_mean: float
    target_sd: float
    correlation: Floats
    covariance: Floats

    @property
    def target_correlation(self) -> Floats:
        """(q,) correlation of each feature with the target; 0 where constant."""
        return self.covariance / self.target_sd

    def scale(self, x: Array) -> Floats:
        """Return rows (n, q) standardised by these means and sds; constant features become 0."""
        safe = np.where(self.constant, 1.0, self.sd)
        scaled: npt.NDArray[Any] = (np.asarray(x, dtype=np.float64) - self.mean) / safe
        return np.where(self.constant, 0.0, scaled)


def standardize(sums: Moments) -> Standardized:
    """Centre and scale by the pooled mean and sd.

    A feature is constant when its variance is below 1e-12, or below 1e-10 of its mean square: what
    is left there is rounding.

    Raises:
        StatisticsError: if there are no rows, or the target does not vary.
    """
    weight = float(sums.weight)
    if weight <= 0.0:
        raise StatisticsError("There are no rows to standardise.", "At least one must have weight.")
    mean = sums.wx / weight
    second = unpack_symmetric(sums.xwx, mean.size) / weight
    square = np.diag(second)
    variance = square - mean**2
    constant = variance <= np.maximum(NO_VARIANCE, NO_RELATIVE_VARIANCE * square)
    sd = np.sqrt(np.where(constant, 0.0, variance))
    inverse = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, sd))

    target_mean = float(sums.wy) / weight
    target_square = float(sums.ywy) / weight
    target_variance = target_square - target_mean**2
    if target_variance <= max(NO_VARIANCE, NO_RELATIVE_VARIANCE * target_square):
        raise StatisticsError(
            "The target is the same in all rows.", "Patients of both classes are needed."
        )
    second -= np.outer(mean, mean)
    second *= inverse[:, None]
    second *= inverse
    np.fill_diagonal(second, np.where(constant, 0.0, 1.0))
    return Standardized(
        weight=weight,
        mean=mean,
        sd=sd,
        constant=constant,
        target_mean=target_mean,
        target_sd=float(np.sqrt(target_variance)),
        correlation=second,
        covariance=(sums.xwy / weight - mean * target_mean) * inverse,
    )
