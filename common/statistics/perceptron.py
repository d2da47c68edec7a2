"""A multilayer perceptron from sums: one hidden layer, gradient descent over the rows of all sites.

Site: `perceptron_sums` at the weights it is given. Merge: add. Server: `descend`, a step of Adam
(D. P. Kingma, J. Ba, ICLR 2015) on the mean loss with L2 penalty. Each step takes one message, and
the result is that of the pooled rows, where averaging locally trained weights (FedAvg) is not.

The network is f(x) = w2' tanh(W1' x + b1) + b2, the logit of a positive row. All weights lie in one
vector: W1 (m, h) row by row, b1 (h,), w2 (h,), b2.
"""

from __future__ import annotations

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
from common.statistics.sums import Sums

FIRST_DECAY, SECOND_DECAY, SMALLEST = 0.9, 0.999, 1e-8
"""Adam's constants."""


def perceptron_size(features: int, hidden: int) -> int:
    """Count the weights of a network of m features and h hidden units."""
    return features * hidden + 2 * hidden + 1


@dataclass(frozen=True, eq=False)
class PerceptronSums(Sums):
    """What a site sums over its rows.

    Attributes:
        loss: () sum of w log(1 + exp(-s f)), s = +-1.
        weight: () sum of w.
        gradient: (k,) of the loss, k weights.
    """

    loss: Floats
    weight: Floats
    gradient: Floats


def initial_perceptron(features: int, hidden: int, seed: list[int]) -> Floats:
    """Draw first weights, uniform by Glorot & Bengio (AISTATS 2010); biases are 0."""
    generator = np.random.default_rng(seed)
    first = np.sqrt(6.0 / (features + hidden))
    second = np.sqrt(6.0 / (hidden + 1))
    return np.concatenate(
        [
            generator.uniform(-first, first, features * hidden),
            np.zeros(hidden),
            generator.uniform(-second, second, hidden),
            np.zeros(1),
        ]
    )


def perceptron_logits(x: Array, weights: Floats, hidden: int) -> Floats:
    """Give the logits (n,) of rows (n, m).

    Raises:
        StatisticsError: if the vector of weights has another length than the network.
    """
    features = as_floats(x, "The features", 2)
    layer, bias, last, shift = _parts(weights, features.shape[1], hidden)
    return np.asarray(np.tanh(features @ layer + bias) @ last + shift)


def perceptron_sums(
    x: Array, y: Array, w: Array | None, weights: Floats, hidden: int
) -> PerceptronSums:
    """Return a site's loss and gradient at `weights` (k,), by backpropagation.

    Args:
        x: (n, m) features, standardised by pooled means and sds; no rows is allowed.
        y: (n,) 0 or 1.
        w: (n,) weights of the rows, zero or more; ones where None.

    Raises:
        StatisticsError: if shapes disagree or a value is NaN or infinite.
    """
    from scipy.special import expit

    features = as_floats(x, "The features", 2)
    positive = as_labels(y, len(features))
    rows = as_weights(w, len(features))
    layer, bias, last, shift = _parts(weights, features.shape[1], hidden)
    inner = np.tanh(features @ layer + bias)
    logits = inner @ last + shift
    signed = np.where(positive, -logits, logits)
    slope = rows * np.where(positive, -expit(signed), expit(signed))
    back = slope[:, None] * last * (1.0 - inner**2)
    gradient = [(features.T @ back).ravel(), back.sum(axis=0), inner.T @ slope, [slope.sum()]]
    return PerceptronSums(
        loss=np.asarray(rows @ np.logaddexp(0.0, signed)),
        weight=np.asarray(rows.sum()),
        gradient=np.concatenate(gradient),
    )


@dataclass(frozen=True, eq=False)
class Descent:
    """Where Adam stands: weights and moments (k,), and the steps taken."""

    weights: Floats
    first: Floats
    second: Floats
    steps: int = 0

    @classmethod
    def begin(cls, weights: Floats) -> Descent:
        """Begin at `weights`."""
        return cls(weights, np.zeros(weights.size), np.zeros(weights.size))


def descend(
    state: Descent, sums: PerceptronSums, features: int, hidden: int, rate: float, penalty: float
) -> Descent:
    """Take one step on loss / weight + penalty / 2 times the squares of W1 and w2.

    Raises:
        StatisticsError: if no row has any weight.
    """
    if not float(sums.weight) > 0.0:
        raise StatisticsError("No row has any weight.", "Check folds and class weights.")
    shrinks = np.ones(state.weights.size)
    shrinks[features * hidden : (features + 1) * hidden] = shrinks[-1] = 0.0
    gradient = sums.gradient / float(sums.weight) + penalty * shrinks * state.weights
    steps = state.steps + 1
    first = FIRST_DECAY * state.first + (1.0 - FIRST_DECAY) * gradient
    second = SECOND_DECAY * state.second + (1.0 - SECOND_DECAY) * gradient**2
    mean = first / (1.0 - FIRST_DECAY**steps)
    spread = np.sqrt(second / (1.0 - SECOND_DECAY**steps))
    return Descent(state.weights - rate * mean / (spread + SMALLEST), first, second, steps)


def _parts(weights: Floats, features: int, hidden: int) -> tuple[Floats, Floats, Floats, Floats]:
    if weights.shape != (perceptron_size(features, hidden),):
        raise StatisticsError(
            f"A network of {features} features and {hidden} hidden units has "
            f"{perceptron_size(features, hidden)} weights, not {weights.size}.",
            "Check that both sides mean the same features.",
        )
    layer, bias, last, shift = np.split(weights, np.cumsum([features * hidden, hidden, hidden]))
    return layer.reshape(features, hidden), bias, last, shift[0]
