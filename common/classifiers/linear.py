"""The linear classifiers, by Newton's method: L1 logistic regression, support vector machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from common.classifiers.protocol import Floats, FoldRows, Shapes
from common.heads import probability
from common.messages import Arrays
from common.statistics.checks import StatisticsError
from common.statistics.logistic import LogisticSums, logistic_sums
from common.statistics.newton import LogisticProblem, LogisticState, first_state, next_state
from common.statistics.squared_hinge import squared_hinge_sums
from common.statistics.sums import pack_symmetric, unpack_symmetric


@dataclass(frozen=True, eq=False)
class NewtonFit:
    """One fold's problem, and where it stands."""

    problem: LogisticProblem
    state: LogisticState

    @property
    def finished(self) -> bool:
        """Whether the method has converged, or given up."""
        return self.state.finished

    def asked(self) -> Arrays:
        """Give the coefficients to sum at."""
        return {"coefficients": self.state.coef}

    def take(self, sums: Arrays) -> NewtonFit:
        """Take a step."""
        size = self.problem.size + 1
        packed = {name: np.asarray(array, np.float64) for name, array in sums.items()}
        hessian = unpack_symmetric(packed["hessian"], size)
        found = LogisticSums(packed["loss"], packed["weight"], packed["gradient"], hessian)
        return replace(self, state=next_state(self.problem, self.state, found))

    def again(self) -> NewtonFit:
        """Begin anew at the same coefficients: the objective is another one."""
        return replace(self, state=first_state(self.problem, self.state.coef))

    def model(self) -> Arrays:
        """Give the coefficients."""
        return self.asked()


class Newton:
    """What the two linear classifiers share."""

    def shapes(self, asked: Arrays, features: int) -> Shapes:
        """Give the shapes of loss, weight, gradient and packed Hessian."""
        size = features + 1
        if set(asked) != {"coefficients"} or asked["coefficients"].shape != (size,):
            raise StatisticsError(
                f"A linear classifier of {features} features was asked for otherwise.",
                "Check that both sides run the same version.",
            )
        return {
            "loss": (),
            "weight": (),
            "gradient": (size,),
            "hessian": (size * (size + 1) // 2,),
        }


def _arrays(sums: LogisticSums) -> Arrays:
    return sums.arrays() | {"hessian": pack_symmetric(sums.hessian)}


@dataclass(frozen=True)
class LassoLogistic(Newton):
    """L1 logistic regression by proximal Newton steps."""

    inverse_penalty: float
    how: ClassVar[str] = "Newton's method on sums of gradient and Hessian: that of the pooled rows"

    def sums(self, asked: Arrays, rows: FoldRows) -> Arrays:
        """Sum the logistic loss and its derivatives."""
        coefficients = asked["coefficients"]
        return _arrays(logistic_sums(rows.columns, rows.labels, rows.weights, coefficients))

    def begin(self, features: int, fold: int, class_weights: Floats) -> NewtonFit:
        """Begin at zero."""
        problem = LogisticProblem.lasso(features, self.inverse_penalty)
        return NewtonFit(problem, first_state(problem))

    def scores(self, model: Arrays, columns: Floats) -> Floats:
        """Give probabilities."""
        return probability(_linear(model, columns))


@dataclass(frozen=True)
class SupportVectors(Newton):
    """The linear support vector machine with squared hinge loss, in the primal.

    Its score is a logistic curve of the decision value f with the slope that the loss itself has
    at the boundary, 1 / (1 + exp(-2 f)): where the loss is least, (1 + f) / 2 is the probability of
    the positive class (T. Zhang, Ann Stat 2004;32:56-85). It ranks as f does and asks no patient.
    """

    inverse_penalty: float
    how: ClassVar[str] = "Newton's method on sums of gradient and Hessian: that of the pooled rows"

    def sums(self, asked: Arrays, rows: FoldRows) -> Arrays:
        """Sum the squared hinge loss and its derivatives."""
        coefficients = asked["coefficients"]
        return _arrays(squared_hinge_sums(rows.columns, rows.labels, rows.weights, coefficients))

    def begin(self, features: int, fold: int, class_weights: Floats) -> NewtonFit:
        """Begin at zero."""
        problem = LogisticProblem.ridge(features, self.inverse_penalty)
        return NewtonFit(problem, first_state(problem))

    def scores(self, model: Arrays, columns: Floats) -> Floats:
        """Squash the decision value."""
        return probability(2.0 * _linear(model, columns))


def _linear(model: Arrays, columns: Floats) -> Floats:
    coefficients = np.asarray(model["coefficients"], np.float64)
    return np.asarray(coefficients[0] + columns @ coefficients[1:])
