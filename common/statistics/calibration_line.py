"""Slope and intercept of the calibration line, and recalibration by it, from score histograms.

The outcome is regressed on the logit of the score: logit P(scar) = intercept + slope logit(score).
Slope below 1 says that scores are too extreme. The calibration in the large is the intercept with
the slope held at 1: above 0, scores are too low on average (D. R. Cox, Biometrika 1958;45:562;
E. W. Steyerberg, Clinical Prediction Models, 2nd ed., 2019, chapter 15).

A score of 0 or 1 has no logit. Scores are rounded to 1/1000, so 0 stands for what is below 0.0005:
both ends are taken to be 0.0005 away from their edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.statistics.auc import normal_quantile
from common.statistics.calibration import check_predicted
from common.statistics.checks import Array, Floats, StatisticsError
from common.statistics.scores import STEPS, check_histogram

EDGE = 0.5 / STEPS
TOLERANCE = 1e-12
STEPS_AT_MOST = 100


@dataclass(frozen=True)
class Estimate:
    """A coefficient with its standard error and Wald interval."""

    value: float
    error: float
    lower: float
    upper: float


@dataclass(frozen=True)
class CalibrationLine:
    """The fitted line; each part is None where the patients do not determine it.

    `why` says in that case what is the matter: the classes separate, so the slope has no end, or
    all patients have one score.
    """

    slope: Estimate | None
    intercept: Estimate | None
    in_the_large: Estimate | None
    why: str = ""


@dataclass(frozen=True)
class Recalibration:
    """A line fitted on some patients, to be applied to the scores of others."""

    intercept: float
    slope: float

    def predicted(self) -> Floats:
        """Return what each bin's score becomes (1001,)."""
        logits = self.intercept + self.slope * score_logits()
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))


def score_logits(predicted: Array | None = None) -> Floats:
    """Return the logit (1001,) of each bin's score, its ends half a step from 0 and 1."""
    chance = np.clip(check_predicted(predicted), EDGE, 1.0 - EDGE)
    return np.asarray(np.log(chance) - np.log1p(-chance))


def calibration_line(
    histogram: Array, predicted: Array | None = None, confidence: float = 0.95
) -> CalibrationLine:
    """Fit the line to the patients counted in `histogram`, without any penalty.

    Args:
        histogram: (2, 1001) counts with patients of both classes.
        predicted: (1001,) probability of each bin, non-decreasing; its score by default.
        confidence: of the Wald intervals.

    Raises:
        StatisticsError: if a class has no patients, or `predicted` makes no sense.
    """
    counts = check_histogram(histogram).astype(np.float64)
    logits = score_logits(predicted)
    z = normal_quantile(confidence)
    large = _fit(counts, np.ones((logits.size, 1)), logits, z)
    there = counts > 0
    low, high = (logits[own].min() for own in there), (logits[own].max() for own in there)
    (low0, low1), (high0, high1) = low, high
    if max(high0, high1) - min(low0, low1) < TOLERANCE:
        return CalibrationLine(None, None, large[0], "all patients have the same score")
    if high0 <= low1 or high1 <= low0:
        why = "the scores separate the classes completely, and the slope has no finite estimate"
        return CalibrationLine(None, None, large[0], why)
    intercept, slope = _fit(counts, np.stack([np.ones_like(logits), logits], 1), None, z)
    return CalibrationLine(slope, intercept, large[0])


def recalibration(histogram: Array) -> Recalibration:
    """Fit what makes the scores of these patients calibrated, for use on others.

    Raises:
        StatisticsError: if the patients do not determine the line, or it would turn the order of
            scores round.
    """
    line = calibration_line(histogram)
    if line.slope is None or line.intercept is None:
        raise StatisticsError(
            f"There is no recalibration: {line.why}.", "Report the scores as they are."
        )
    if line.slope.value <= 0.0:
        raise StatisticsError(
            f"There is no recalibration: its slope is {line.slope.value:.3f}, which would turn the "
            "order of patients round.",
            "Report the scores as they are.",
        )
    return Recalibration(line.intercept.value, line.slope.value)


def _fit(counts: Floats, design: Floats, offset: Floats | None, z: float) -> list[Estimate]:
    """Maximise the likelihood by Newton steps, halved where they overshoot; (1001, k) design."""
    negative, positive = counts
    everybody = negative + positive
    used = everybody > 0
    x, n, y = design[used], everybody[used], positive[used]
    shift = np.zeros(n.size) if offset is None else offset[used]
    beta = np.zeros(x.shape[1])
    loss = _loss(x, n, y, shift, beta)
    for _ in range(STEPS_AT_MOST):
        chance = 0.5 * (1.0 + np.tanh(0.5 * (x @ beta + shift)))
        gradient = x.T @ (y - n * chance)
        information = (x * (n * chance * (1.0 - chance))[:, None]).T @ x
        step = np.linalg.solve(information, gradient)
        while (tried := _loss(x, n, y, shift, beta + step)) > loss and np.abs(step).max() > 1e-15:
            step = step / 2.0
        beta, loss = beta + step, min(loss, tried)
        if np.abs(step).max() <= TOLERANCE * (1.0 + np.abs(beta).max()):
            break
    chance = 0.5 * (1.0 + np.tanh(0.5 * (x @ beta + shift)))
    information = (x * (n * chance * (1.0 - chance))[:, None]).T @ x
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    return [
        Estimate(float(value), float(error), float(value - z * error), float(value + z * error))
        for value, error in zip(beta, errors, strict=True)
    ]


def _loss(x: Floats, n: Floats, y: Floats, shift: Floats, beta: Floats) -> float:
    logits = x @ beta + shift
    return float(n @ np.logaddexp(0.0, logits) - y @ logits)
