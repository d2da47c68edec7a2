"""Random forest and gradient boosting of the comparison: grown level by level from histograms.

A forest grows all its trees at once, so it takes as many questions as it has levels; boosting takes
trees times levels, since a tree needs those before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from common.classifiers.protocol import Floats, FoldRows, Ints, Shapes
from common.heads import probability
from common.messages import Arrays
from common.statistics.checks import StatisticsError
from common.statistics.tree_growth import Boosted, Learner, Voting, grown
from common.statistics.trees import CHANNELS, Trees, binned, node_histograms
from common.study_comparison import Boosting, Forest

Columns = Callable[[int, int], Ints]
"""The features that a node, by its tree and number, may ask about."""


@dataclass(frozen=True, eq=False)
class GrowingFit:
    """Trees in growth: those `at_once` together, then the next ones.

    Attributes
    ----------
    begun : how many trees are finished or in growth
    open_nodes : (k, 2) tree and node, all of one level
    """

    trees: Trees
    begun: int
    at_once: int
    open_nodes: Ints
    columns: Columns
    learner: Learner
    least: float

    @classmethod
    def begin(
        cls, trees: Trees, at_once: int, columns: Columns, learner: Learner, least: float
    ) -> GrowingFit:
        """Begin with the roots of the first trees."""
        return cls(trees, at_once, at_once, _roots(0, at_once), columns, learner, least)

    @property
    def finished(self) -> bool:
        """Whether no node is open and no tree is to come."""
        return self.open_nodes.size == 0

    def asked(self) -> Arrays:
        """Give the trees as they are, the open nodes and their features."""
        return self._begun() | {"nodes": self.open_nodes, "columns": self._columns()}

    def take(self, sums: Arrays) -> GrowingFit:
        """Grow one level; where that ends these trees, the next begin."""
        histograms = np.asarray(sums["histograms"], np.float64)
        trees, following = grown(
            self.trees, self.open_nodes, self._columns(), histograms, self.learner, self.least
        )
        if len(following) or self.begun >= len(trees.feature):
            return replace(self, trees=trees, open_nodes=following)
        begun = self.begun + self.at_once
        return replace(self, trees=trees, begun=begun, open_nodes=_roots(self.begun, begun))

    def again(self) -> GrowingFit:
        """Go on: a level needs only the histograms of the sites that are there."""
        return self

    def model(self) -> Arrays:
        """Give the trees."""
        return self.trees.arrays()

    def _begun(self) -> Arrays:
        return {name: array[: self.begun] for name, array in self.trees.arrays().items()}

    def _columns(self) -> Ints:
        return np.array([self.columns(tree, node) for tree, node in self.open_nodes.tolist()])


def _roots(start: int, stop: int) -> Ints:
    return np.array([(tree, 0) for tree in range(start, stop)], np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class Grower:
    """What forest and boosting share: the questions, and the shapes of their answers.

    Attributes
    ----------
    bins : steps of a feature
    least : patients that a leaf must hold
    """

    bins: int
    least: int
    seed: int

    def _shapes(self, asked: Arrays, features: int, most: int, depth: int, width: int) -> Shapes:
        """Require at most so many trees of that depth, and nodes that may ask `width` features."""
        trees, nodes, columns = _read(asked, features)
        fits = len(trees.feature) <= most and trees.depth == depth
        count = len(trees.feature)
        inner = trees.feature.shape[1]
        fits = fits and columns.shape == (len(nodes), width) and nodes.shape == (len(nodes), 2)
        fits = fits and bool(((nodes >= 0) & (nodes < [count, inner])).all())
        fits = fits and len(np.unique(nodes, axis=0)) == len(nodes)
        fits = fits and bool(((columns >= 0) & (columns < features)).all())
        if not fits:
            raise StatisticsError(
                f"Nodes of trees over {features} features were asked for that the study has not.",
                "Check that both sides run the same version.",
            )
        return {"histograms": (len(nodes), width, self.bins, CHANNELS)}

    def _summed(
        self, trees: Trees, nodes: Ints, columns: Ints, bins: Ints, channels: Floats
    ) -> Arrays:
        """Sum the channels (n, 3) over the rows of each node."""
        inside: NDArray[np.bool_] = trees.reached(bins)[nodes[:, 0]] == nodes[:, 1:]
        return {"histograms": node_histograms(bins, inside, columns, channels, self.bins)}


def _read(asked: Arrays, features: int) -> tuple[Trees, Ints, Ints]:
    if set(asked) != {"feature", "cut", "value", "nodes", "columns"}:
        raise StatisticsError(
            "Trees were asked for otherwise.", "Check that both sides run the same version."
        )
    nodes, columns = (np.asarray(asked[name], np.int64) for name in ("nodes", "columns"))
    return Trees.from_arrays(asked, features), nodes.reshape(-1, 2), columns


@dataclass(frozen=True)
class RandomForest(Grower):
    """Trees that vote, each node choosing among the square root of all features.

    Every tree sees all patients. Bootstraps would make the sums at the roots weighted sums over the
    same patients, with other weights in each tree: with enough trees, who knows or guesses the
    weights solves for each patient. Without them all roots tell the same.
    """

    settings: Forest
    how: ClassVar[str] = (
        "grown from summed histograms, without bootstrap: that of the pooled rows, no vote of sites"
    )

    def shapes(self, asked: Arrays, features: int) -> Shapes:
        """Give the shape of the histograms."""
        own = self.settings
        return self._shapes(asked, features, own.trees, own.depth, _some(features))

    def sums(self, asked: Arrays, rows: FoldRows) -> Arrays:
        """Count the rows of each class, and sum the patients' shares."""
        trees, nodes, columns = _read(asked, rows.columns.shape[1])
        positive = rows.labels == 1
        channels = np.stack([~positive, positive, rows.shares], axis=1).astype(np.float64)
        return self._summed(trees, nodes, columns, binned(rows.columns, self.bins), channels)

    def begin(self, features: int, fold: int, class_weights: Floats) -> GrowingFit:
        """Begin all trees."""
        own, width = self.settings, _some(features)

        def columns(tree: int, node: int) -> Ints:
            generator = np.random.default_rng([self.seed, fold, tree, node])
            return np.sort(generator.choice(features, width, replace=False)).astype(np.int64)

        learner = Voting(float(class_weights[0]), float(class_weights[1]))
        trees = Trees.none(own.trees, own.depth)
        return GrowingFit.begin(trees, own.trees, columns, learner, self.least)

    def scores(self, model: Arrays, columns: Floats) -> Floats:
        """Give the mean over trees of the leaves' shares of the positive class."""
        trees = Trees.from_arrays(model, columns.shape[1])
        return np.asarray(trees.said(binned(columns, self.bins)).mean(axis=0))


def _some(features: int) -> int:
    """How many features a node chooses among: the square root of all, as is usual."""
    return min(features, max(1, round(float(np.sqrt(features)))))


@dataclass(frozen=True)
class GradientBoosting(Grower):
    """Newton boosting of the class-weighted logistic loss, one tree after another."""

    settings: Boosting
    how: ClassVar[str] = "grown from summed histograms: that of the pooled rows"

    def shapes(self, asked: Arrays, features: int) -> Shapes:
        """Give the shape of the histograms."""
        return self._shapes(asked, features, self.settings.trees, self.settings.depth, features)

    def sums(self, asked: Arrays, rows: FoldRows) -> Arrays:
        """Sum gradient and Hessian at what the trees say, and the patients' shares."""
        trees, nodes, columns = _read(asked, rows.columns.shape[1])
        bins = binned(rows.columns, self.bins)
        likely = probability(trees.said(bins).sum(axis=0))
        gradient = rows.weights * (likely - rows.labels)
        hessian = rows.weights * likely * (1.0 - likely)
        channels = np.stack([gradient, hessian, rows.shares], axis=1)
        return self._summed(trees, nodes, columns, bins, channels)

    def begin(self, features: int, fold: int, class_weights: Floats) -> GrowingFit:
        """Begin the first tree, at even odds."""
        own, every = self.settings, np.arange(features)
        learner = Boosted(own.learning_rate, own.penalty)
        trees = Trees.none(own.trees, own.depth)
        return GrowingFit.begin(trees, 1, lambda tree, node: every, learner, self.least)

    def scores(self, model: Arrays, columns: Floats) -> Floats:
        """Give probabilities."""
        trees = Trees.from_arrays(model, columns.shape[1])
        return probability(trees.said(binned(columns, self.bins)).sum(axis=0))
