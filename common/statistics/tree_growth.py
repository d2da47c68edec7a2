"""Growing trees by one level from histograms: gradient boosting, and random forests.

The two differ in what a bin holds, in the worth of a node, and in what a leaf says:

- boosting (T. Chen, C. Guestrin, KDD 2016): sums G and H of gradient and Hessian of the logistic
  loss; worth G^2 / (H + lambda); a leaf says -G / (H + lambda), times the learning rate;
- forest (L. Breiman, Mach Learn 2001;45:5-32): weights of both classes; worth minus Gini's impurity
  times the weight; a leaf says the share of the positive class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from common.statistics.checks import Floats, Ints
from common.statistics.trees import CHANNELS, LEAF, Trees

LEAST_GAIN = 1e-6
"""A split must be worth more than this, as in XGBoost."""
TIE = 1e-9
"""Gains this close, relative to the best, are equal: sums differ by rounding with their order."""


class Learner(Protocol):
    """What tells boosting and forests apart."""

    def worth(self, sums: Floats) -> Floats:
        """Give the worth (...) of nodes from their sums (..., 3)."""

    def says(self, sums: Floats) -> float:
        """Give what a leaf says, from its sums (3,)."""


@dataclass(frozen=True)
class Boosted:
    """Newton boosting; `penalty` is XGBoost's lambda."""

    rate: float
    penalty: float

    def worth(self, sums: Floats) -> Floats:
        """Give G^2 / (H + lambda)."""
        return np.asarray(sums[..., 0] ** 2 / (sums[..., 1] + self.penalty))

    def says(self, sums: Floats) -> float:
        """Give the shrunken Newton step."""
        return float(-self.rate * sums[0] / (sums[1] + self.penalty))


@dataclass(frozen=True)
class Voting:
    """Gini's impurity; `negative` and `positive` weigh a row of each class."""

    negative: float
    positive: float

    def worth(self, sums: Floats) -> Floats:
        """Give minus the impurity times the weight: -2 ab / (a + b)."""
        a, b = self.negative * sums[..., 0], self.positive * sums[..., 1]
        together = a + b
        return np.asarray(-2.0 * a * b / np.where(together > 0.0, together, 1.0))

    def says(self, sums: Floats) -> float:
        """Give the share of the positive class; a half where there is no row."""
        a, b = self.negative * float(sums[0]), self.positive * float(sums[1])
        return b / (a + b) if a + b > 0.0 else 0.5


@dataclass(frozen=True, eq=False)
class Split:
    """The best question of a node: the position of its feature, its cut, and its children's sums.

    The sums are (3,) each.
    """

    column: int
    cut: int
    left: Floats
    right: Floats


def best_split(histogram: Floats, learner: Learner, least: float) -> Split | None:
    """Find the cut that is worth most; None where none is worth anything.

    Args:
        histogram: (c, B, 3) of the node.
        least: patients that each child must hold at least; the third channel counts each by the
            share of its slices that are there, so that it never counts more than there are.
    """
    summed = np.cumsum(histogram, axis=1)
    left, total = summed[:, :-1], summed[:, -1:]
    right = total - left
    gain = learner.worth(left) + learner.worth(right) - learner.worth(total)
    allowed = (left[..., 2] >= least - TIE) & (right[..., 2] >= least - TIE)
    # A child without any row is none, whatever the minimum.
    allowed &= (left[..., 2] > TIE) & (right[..., 2] > TIE)
    gain = np.where(allowed, gain, -np.inf)
    best = float(gain.max(initial=-np.inf))
    if best <= LEAST_GAIN:
        return None
    first = int(np.flatnonzero(gain.ravel() >= best - TIE * max(1.0, best))[0])
    column, cut = divmod(first, gain.shape[1])
    return Split(column, cut, left[column, cut], right[column, cut])


def grown(
    trees: Trees,
    open_nodes: Ints,
    columns: Ints,
    histograms: Floats,
    learner: Learner,
    least: float,
) -> tuple[Trees, Ints]:
    """Split the open nodes, or make leaves of them.

    Args:
        open_nodes: (k, 2) tree and node of each.
        columns: (k, c) the features that it may ask about.
        histograms: (k, c, B, 3).

    Returns:
        The trees, and their open nodes (k', 2) a level below.
    """
    feature, cut, value = trees.feature.copy(), trees.cut.copy(), trees.value.copy()
    following: list[tuple[int, int]] = []
    for (tree, node), own, histogram in zip(open_nodes.tolist(), columns, histograms, strict=True):
        split = best_split(histogram, learner, least)
        if split is None:
            sums = histogram[0].sum(axis=0) if len(histogram) else np.zeros(CHANNELS)
            feature[tree, node] = LEAF
            value[tree, node] = learner.says(sums)
            continue
        feature[tree, node], cut[tree, node] = own[split.column], split.cut
        for child, sums in ((2 * node + 1, split.left), (2 * node + 2, split.right)):
            if child < feature.shape[1]:
                following.append((tree, child))
            else:
                value[tree, child] = learner.says(sums)
    return replace(trees, feature=feature, cut=cut, value=value), np.array(
        following, np.int64
    ).reshape(-1, 2)
