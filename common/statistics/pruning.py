"""Correlation pruning at the server: of features that say the same, keep the more telling one."""

from __future__ import annotations

import numpy as np

from common.statistics.checks import Array, Ints, StatisticsError, as_floats

DECIMALS = 10


def prune(correlation: Array, with_target: Array, limit: float) -> Ints:
    """Return the indices of the features kept, ascending; see `prune_in_order`."""
    return np.sort(prune_in_order(correlation, with_target, limit))


def prune_in_order(correlation: Array, with_target: Array, limit: float) -> Ints:
    """Return the indices of the features kept, the more telling first.

    Features are taken by falling absolute correlation with the target, ties by index; each one
    kept drops those after it whose absolute correlation with it exceeds `limit`. Correlations are
    rounded to 1e-10 first, so that the order in which sites were added cannot change the result.

    Args:
        correlation: (q, q) among the features; a feature whose diagonal is 0 is constant, and
            never kept.
        with_target: (q,) of each feature with the target.
        limit: from 0 to 1; at 1 nothing is dropped but constant features.

    Raises:
        StatisticsError: if shapes disagree or `limit` is out of range.
    """
    matrix = as_floats(correlation, "The correlation matrix", 2)
    target = as_floats(with_target, "The correlation with the target", 1)
    if matrix.shape != (target.size, target.size):
        raise StatisticsError(
            f"The correlation matrix is {matrix.shape} for {target.size} features.",
            "Both must be of the same features.",
        )
    if not 0.0 <= limit <= 1.0:
        raise StatisticsError(f"A limit of {limit} was asked for.", "It lies between 0 and 1.")
    candidate = np.diag(matrix) > 0.0
    kept: list[int] = []
    for feature in np.argsort(-np.round(np.abs(target), DECIMALS), kind="stable"):
        if not candidate[feature]:
            continue
        kept.append(int(feature))
        candidate &= np.round(np.abs(matrix[feature]), DECIMALS) <= limit
    return np.array(kept, dtype=np.int64)
