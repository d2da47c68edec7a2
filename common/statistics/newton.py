"""The server's half of logistic regression: Newton's method as a state machine, a sum a step.

The objective is scikit-learn's divided by C: sum_i w_i loss_i + l1 |b|_1 + l2/2 |b|^2, with
l1 = 1/C or l2 = 1/C and the intercept free. A step minimises the quadratic model of the loss plus
the penalty exactly (proximal Newton: J. D. Lee, Y. Sun, M. A. Saunders, SIAM J Optim
2014;24:1420-1443; plain Newton where l1 = 0). Should the objective not fall at the proposed
coefficients (Armijo's rule), the step is halved, which costs one more round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from common.statistics.checks import Array, Floats, StatisticsError
from common.statistics.logistic import LogisticSums
from common.statistics.quadratic import minimise_l1

RESIDUAL = 1e-11
LAST_STEP = 1e-6
MOST_ROUNDS = 100
ARMIJO = 1e-4
SLACK = 1e-11


@dataclass(frozen=True)
class LogisticProblem:
    """A problem of `size` features with penalties `l1` and `l2`, zero or more."""

    size: int
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 0 or not self.l1 >= 0.0 or not self.l2 >= 0.0:
            raise StatisticsError(
                f"A logistic problem of {self.size} features has l1 {self.l1} and l2 {self.l2}.",
                "None may be negative.",
            )

    @classmethod
    def lasso(cls, size: int, c: float) -> LogisticProblem:
        """Return the L1 problem that scikit-learn calls C = `c`."""
        return cls(size, l1=1.0 / c)

    @classmethod
    def ridge(cls, size: int, c: float) -> LogisticProblem:
        """Return the L2 problem that scikit-learn calls C = `c`."""
        return cls(size, l2=1.0 / c)

    def penalty(self, coef: Floats) -> float:
        """Return the penalty at `coef` (size+1,), the intercept free."""
        b = coef[1:]
        return self.l1 * float(np.abs(b).sum()) + 0.5 * self.l2 * float(b @ b)


@dataclass(frozen=True, eq=False)
class LogisticState:
    """Where a problem stands. Sites are asked for sums at `coef`, until `finished`.

    Attributes:
        coef: (m+1,) intercept first: the proposal, or the answer once finished.
        base: (m+1,) the last coefficients accepted.
        direction: (m+1,) the full step from `base`.
        step: the share of it that `coef` has taken.
        objective: at `base`; infinite before the first answer.
        slope: the decrease that the model foresees for the full step; at most 0.
        residual: greatest violation of the optimality conditions at `base`, over the sum of w.
        rounds: sums seen so far.
        converged: whether `coef` is the answer.
        stopped: whether the search gave up, with `coef` the best found.
    """

    coef: Floats
    base: Floats
    direction: Floats
    step: float = 1.0
    objective: float = np.inf
    slope: float = 0.0
    residual: float = np.inf
    rounds: int = 0
    converged: bool = False
    stopped: bool = False

    @property
    def finished(self) -> bool:
        """Whether no further sums are needed."""
        return self.converged or self.stopped


def first_state(problem: LogisticProblem, start: Array | None = None) -> LogisticState:
    """Return the state to begin with: at zero, or at `start` (m+1,), intercept first.

    Raises:
        StatisticsError: if `start` has another length.
    """
    zero = np.zeros(problem.size + 1)
    coef = zero if start is None else np.array(start, dtype=np.float64)
    if coef.shape != zero.shape:
        raise StatisticsError(
            f"A problem of {problem.size} features begins at {coef.size} coefficients.",
            "Give one a feature and the intercept first.",
        )
    return LogisticState(coef=coef, base=coef, direction=zero)


def next_state(problem: LogisticProblem, state: LogisticState, sums: LogisticSums) -> LogisticState:
    """Take in the sums at `state.coef` and return the next proposal, or the answer.

    Converged means that the residual is below 1e-11, or that the next step is below 1e-6 in all
    coefficients: that step is taken unseen, since Newton's error after it is of its square.

    Raises:
        StatisticsError: if the sums are of another size, have no weight or are not finite.
    """
    if state.finished:
        return state
    size = problem.size + 1
    values = (sums.loss, sums.gradient, sums.hessian)
    if sums.gradient.shape != (size,) or not all(np.isfinite(value).all() for value in values):
        raise StatisticsError(
            f"The sums of a problem of {problem.size} features are of another size or not finite.",
            "Check the sites' answers.",
        )
    if not float(sums.weight) > 0.0:
        raise StatisticsError("No row has any weight.", "Check folds and class weights.")
    objective = float(sums.loss) + problem.penalty(state.coef)
    allowed = state.objective + ARMIJO * state.step * state.slope
    if objective > allowed + SLACK * max(1.0, abs(state.objective)):
        return _step_back(state)
    return _step_on(problem, state, sums, objective)


def _step_back(state: LogisticState) -> LogisticState:
    """Propose half of the step that did not lower the objective."""
    step, rounds = 0.5 * state.step, state.rounds + 1
    if step < 1e-9 or rounds >= MOST_ROUNDS:
        return replace(state, coef=state.base, rounds=rounds, stopped=True)
    coef = state.base + step * state.direction
    return replace(state, coef=coef, step=step, rounds=rounds)


def _step_on(
    problem: LogisticProblem, state: LogisticState, sums: LogisticSums, objective: float
) -> LogisticState:
    """Accept `state.coef` and propose the minimum of the quadratic model there."""
    base = state.coef
    ridge = np.full(base.size, problem.l2)
    lasso = np.full(base.size, problem.l1)
    ridge[0] = lasso[0] = 0.0
    gradient = sums.gradient + ridge * base
    reached = LogisticState(
        coef=base,
        base=base,
        direction=np.zeros(base.size),
        objective=objective,
        residual=_residual(gradient, base, lasso) / float(sums.weight),
        rounds=state.rounds + 1,
    )
    if reached.residual <= RESIDUAL:
        return replace(reached, converged=True)
    curvature = sums.hessian + np.diag(ridge)
    target = minimise_l1(curvature, curvature @ base - gradient, lasso, base)
    direction = target - base
    if float(np.abs(direction).max()) <= LAST_STEP:
        return replace(reached, coef=target, direction=direction, converged=True)
    if reached.rounds >= MOST_ROUNDS:
        return replace(reached, stopped=True)
    foreseen = float(gradient @ direction) + float(lasso @ (np.abs(target) - np.abs(base)))
    return replace(reached, coef=target, direction=direction, slope=min(foreseen, 0.0))


def _residual(gradient: Floats, coef: Floats, lasso: Floats) -> float:
    """Return the greatest violation of the optimality conditions."""
    at_zero = np.maximum(np.abs(gradient) - lasso, 0.0)
    elsewhere = np.abs(gradient + lasso * np.sign(coef))
    return float(np.where(coef == 0.0, at_zero, elsewhere).max())
