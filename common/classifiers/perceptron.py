"""The multilayer perceptron of the comparison, by gradient descent over the rows of all sites."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from common.classifiers.protocol import Floats, FoldRows, Shapes
from common.heads import probability
from common.messages import Arrays
from common.statistics.checks import StatisticsError
from common.statistics.perceptron import (
    Descent,
    PerceptronSums,
    descend,
    initial_perceptron,
    perceptron_logits,
    perceptron_size,
    perceptron_sums,
)
from common.study_comparison import Perceptron


@dataclass(frozen=True, eq=False)
class DescentFit:
    """One fold's network, and where the descent stands."""

    settings: Perceptron
    features: int
    state: Descent

    @property
    def finished(self) -> bool:
        """Whether all steps are taken."""
        return self.state.steps >= self.settings.rounds

    def asked(self) -> Arrays:
        """Give the weights to take the gradient at."""
        return {"weights": self.state.weights}

    def take(self, sums: Arrays) -> DescentFit:
        """Take a step."""
        own = self.settings
        found = PerceptronSums.from_arrays(sums)
        rate, penalty = own.learning_rate, own.penalty
        state = descend(self.state, found, self.features, own.hidden, rate, penalty)
        return replace(self, state=state)

    def again(self) -> DescentFit:
        """Go on: a step needs only the gradient of the sites that are there."""
        return self

    def model(self) -> Arrays:
        """Give the weights."""
        return self.asked()


@dataclass(frozen=True)
class MultilayerPerceptron:
    """One hidden layer; the gradient is summed over sites at every step."""

    settings: Perceptron
    seed: int
    how: ClassVar[str] = "Adam on sums of gradients over all rows: that of the pooled rows"

    def shapes(self, asked: Arrays, features: int) -> Shapes:
        """Give the shapes of loss, weight and gradient."""
        size = perceptron_size(features, self.settings.hidden)
        if set(asked) != {"weights"} or asked["weights"].shape != (size,):
            raise StatisticsError(
                f"A perceptron of {features} features was asked for otherwise.",
                "Check that both sides run the same version.",
            )
        return {"loss": (), "weight": (), "gradient": (size,)}

    def sums(self, asked: Arrays, rows: FoldRows) -> Arrays:
        """Sum loss and gradient."""
        weights = np.asarray(asked["weights"], np.float64)
        return perceptron_sums(
            rows.columns, rows.labels, rows.weights, weights, self.settings.hidden
        ).arrays()

    def begin(self, features: int, fold: int, class_weights: Floats) -> DescentFit:
        """Begin at weights that the study's seed draws."""
        first = initial_perceptron(features, self.settings.hidden, [self.seed, fold])
        return DescentFit(self.settings, features, Descent.begin(first))

    def scores(self, model: Arrays, columns: Floats) -> Floats:
        """Give probabilities."""
        weights = np.asarray(model["weights"], np.float64)
        return probability(perceptron_logits(columns, weights, self.settings.hidden))
