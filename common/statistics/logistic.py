"""Logistic regression from sums: what a site sums at given coefficients, and the class weights.

Site: `logistic_sums`, or `logistic_batch` for many problems in one message. Merge: add. Server:
`common.statistics.newton`, whose next coefficients go out with the next round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.statistics.checks import (
    Array,
    Floats,
    StatisticsError,
    as_floats,
    as_labels,
    as_weights,
)
from common.statistics.sums import Sums, pack_symmetric, unpack_symmetric


@dataclass(frozen=True, eq=False)
class LogisticSums(Sums):
    """What a site sums over its rows for one problem of m features; the intercept comes first.

    Attributes:
        loss: () sum of w log(1 + exp(-s f)), s = +-1, f the linear score.
        weight: () sum of w.
        gradient: (m+1,) of the loss.
        hessian: (m+1, m+1) of the loss.
    """

    loss: Floats
    weight: Floats
    gradient: Floats
    hessian: Floats

    def __post_init__(self) -> None:
        k = self.gradient.size
        shapes = tuple(array.shape for array in self.arrays().values())
        if shapes != ((), (), (k,), (k, k)):
            raise StatisticsError(
                f"Logistic sums have the shapes {shapes}.", "Make them with logistic_sums."
            )


def balanced_weights(negatives: int, positives: int) -> tuple[float, float]:
    """Return the weights n / (2 n_c) of a negative and a positive row, from pooled counts.

    Raises:
        StatisticsError: if a class is empty: its weight, and the intercept, would be infinite.
    """
    if min(negatives, positives) < 1:
        raise StatisticsError(
            f"There are {negatives} rows without and {positives} with scar.",
            "A logistic head needs rows of both classes.",
        )
    rows = negatives + positives
    return rows / (2.0 * negatives), rows / (2.0 * positives)


def logistic_sums(x: Array, y: Array, w: Array | None, coef: Array) -> LogisticSums:
    """Return a site's sums at `coef`.

    Args:
        x: (n, m) features, standardised by pooled means and sds; no rows is allowed.
        y: (n,) 0 or 1.
        w: (n,) weights, zero or more; ones where None.
        coef: (m+1,) intercept first.

    Raises:
        StatisticsError: if shapes disagree or a value is NaN or infinite.
    """
    features = as_floats(x, "The features", 2)
    positive = as_labels(y, len(features))
    return _sums(_with_one(features), positive, as_weights(w, len(features)), coef)


@dataclass(frozen=True, eq=False)
class LogisticBatch(Sums):
    """The sums of K problems of several sizes, in the few flat arrays of one message.

    Attributes:
        losses: (K,).
        weights: (K,).
        gradients: the (m+1,) gradients, one after another.
        hessians: the packed upper triangles, one after another.
    """

    losses: Floats
    weights: Floats
    gradients: Floats
    hessians: Floats

    @classmethod
    def join(cls, sums: Sequence[LogisticSums]) -> LogisticBatch:
        """Flatten the sums of several problems, in order; none is allowed."""
        empty = np.zeros(0)
        return cls(
            losses=np.array([float(one.loss) for one in sums]),
            weights=np.array([float(one.weight) for one in sums]),
            gradients=np.concatenate([empty, *(one.gradient for one in sums)]),
            hessians=np.concatenate([empty, *(pack_symmetric(one.hessian) for one in sums)]),
        )

    def split(self, sizes: Sequence[int]) -> list[LogisticSums]:
        """Undo `join`, given the number of features m of each problem, in order.

        Raises:
            StatisticsError: if the arrays do not have the lengths that the sizes ask for.
        """
        lengths = [size + 1 for size in sizes]
        triangles = [k * (k + 1) // 2 for k in lengths]
        found = {name: array.shape for name, array in self.arrays().items()}
        if found != batch_shapes(sizes):
            raise StatisticsError(
                f"The sums of {len(sizes)} problems have the shapes {found}.",
                "Both sides must hold the same problems.",
            )
        gradients = np.split(self.gradients, np.cumsum(lengths)[:-1])
        hessians = np.split(self.hessians, np.cumsum(triangles)[:-1])
        return [
            LogisticSums(
                loss=np.asarray(self.losses[i]),
                weight=np.asarray(self.weights[i]),
                gradient=gradients[i],
                hessian=unpack_symmetric(hessians[i], k),
            )
            for i, k in enumerate(lengths)
        ]


def batch_shapes(sizes: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of a `LogisticBatch` over problems of these numbers of features."""
    lengths = [size + 1 for size in sizes]
    return {
        "losses": (len(sizes),),
        "weights": (len(sizes),),
        "gradients": (sum(lengths),),
        "hessians": (sum(k * (k + 1) // 2 for k in lengths),),
    }


@dataclass(frozen=True, eq=False)
class LogisticTask:
    """One problem as a site is asked it.

    Attributes:
        columns: (m,) features used, as indices into the site's matrix.
        coef: (m+1,) intercept first.
        weights: (n,) weights of the site's rows, 0 for rows left out (another fold), or None.
    """

    columns: Array
    coef: Array
    weights: Array | None = None


def logistic_batch(x: Array, y: Array, tasks: Sequence[LogisticTask]) -> LogisticBatch:
    """Return a site's sums for many problems on one matrix `x` (n, q) and labels `y` (n,).

    Raises:
        StatisticsError: as `logistic_sums`.
    """
    features = as_floats(x, "The features", 2)
    positive = as_labels(y, len(features))
    full = _with_one(features)
    sums = []
    for task in tasks:
        weights = as_weights(task.weights, len(features))
        used = np.flatnonzero(weights)
        columns = np.concatenate([[0], np.asarray(task.columns, dtype=np.int64) + 1])
        part = full[:, columns] if used.size == len(features) else full[np.ix_(used, columns)]
        sums.append(_sums(part, positive[used], weights[used], task.coef))
    return LogisticBatch.join(sums)


def _with_one(features: Floats) -> Floats:
    """Put the column of ones before the features."""
    return np.concatenate([np.ones((len(features), 1)), features], axis=1)


def _sums(design: Floats, positive: Array, weights: Floats, coef: Array) -> LogisticSums:
    """Sum loss, gradient and Hessian over the rows of `design` (n, m+1)."""
    from scipy.special import expit

    at = as_floats(coef, "The coefficients", 1)
    if at.size != design.shape[1]:
        raise StatisticsError(
            f"There are {at.size} coefficients for {design.shape[1] - 1} features.",
            "Give one a feature and the intercept first.",
        )
    score = design @ at
    signed = np.where(positive, -score, score)
    wrong = expit(signed)
    slope = np.where(positive, -wrong, wrong) * weights
    root = np.sqrt(weights * wrong * expit(-signed))
    scaled = design * root[:, None]
    return LogisticSums(
        loss=np.asarray(weights @ np.logaddexp(0.0, signed)),
        weight=np.asarray(weights.sum()),
        gradient=design.T @ slope,
        hessian=scaled.T @ scaled,
    )
