"""Beginning Newton's method at the discriminant: the same answer, in fewer rounds."""

from __future__ import annotations

import numpy as np
import pytest

from common.statistics.logistic import balanced_weights, logistic_sums
from common.statistics.moments import Standardized, moments, standardize
from common.statistics.newton import LogisticProblem, LogisticState, first_state, next_state
from common.statistics.newton_start import newton_start
from common.statistics.sums import total

SITES = 3


class Cohort:
    """Correlated features of two classes `separation` standard deviations apart."""

    def __init__(self, seed: int, separation: float, n: int = 240, m: int = 12) -> None:
        rng = np.random.default_rng(seed)
        self.y = (rng.random(n) < 0.4).astype(int)
        self.y[:2] = 0, 1
        factors = rng.normal(size=(n, 4))
        factors[:, 0] += separation * self.y
        x = factors @ rng.normal(size=(4, m)) + 1.5 * rng.normal(size=(n, m))
        balance = balanced_weights(int((self.y == 0).sum()), int(self.y.sum()))
        self.w = np.array(balance)[self.y]
        self.pooled: Standardized = standardize(
            total(moments(x[i::SITES], self.y[i::SITES], self.w[i::SITES]) for i in range(SITES))
        )
        self.z = self.pooled.scale(x)

    def solve(
        self, problem: LogisticProblem, start: np.ndarray | None, features: np.ndarray
    ) -> LogisticState:
        state = first_state(problem, start)
        while not state.finished:
            state = next_state(
                problem, state, logistic_sums(self.z[:, features], self.y, self.w, state.coef)
            )
        assert state.converged
        return state

    def both(self, problem: LogisticProblem, features: np.ndarray) -> tuple[LogisticState, ...]:
        """Solved from the start, and from zero."""
        start = newton_start(self.pooled, features, problem)
        assert start.shape == (features.size + 1,)
        assert np.isfinite(start).all()
        return tuple(self.solve(problem, one, features) for one in (start, None))


@pytest.mark.parametrize("separation", [0.0, 0.5, 1.5, 3.0, 6.0])
@pytest.mark.parametrize(("n", "m"), [(240, 12), (120, 30)])
@pytest.mark.parametrize("make", [LogisticProblem.lasso, LogisticProblem.ridge])
def test_the_answer_is_the_same_and_takes_no_more_rounds(
    separation: float, n: int, m: int, make: object
) -> None:
    for seed in range(3):
        cohort = Cohort(seed, separation, n, m)
        for c in (0.1, 0.3, 1.0):
            problem = make(m, c)  # type: ignore[operator]
            begun, zero = cohort.both(problem, np.arange(m))
            scale = max(1.0, float(np.abs(zero.coef).max()))
            np.testing.assert_allclose(begun.coef, zero.coef, rtol=0, atol=1e-9 * scale)
            assert begun.rounds <= zero.rounds + 1


@pytest.mark.parametrize("separation", [0.5, 1.5, 3.0, 6.0])
def test_six_rounds_are_enough(separation: float) -> None:
    """For the penalties of a study, however far apart the classes are; from zero it takes ten."""
    most = 0
    for seed in range(8):
        cohort = Cohort(seed, separation)
        for c in (0.1, 0.3, 1.0):
            begun, zero = cohort.both(LogisticProblem.lasso(12, c), np.arange(12))
            assert begun.rounds <= 6
            most = max(most, zero.rounds)
    assert separation < 6.0 or most >= 9


def test_features_are_those_asked_for_in_their_order() -> None:
    cohort = Cohort(1, 1.5)
    features = np.array([7, 2, 9])
    problem = LogisticProblem.lasso(3, 1.0)
    begun, zero = cohort.both(problem, features)
    np.testing.assert_allclose(begun.coef, zero.coef, atol=1e-9)
    turned = newton_start(cohort.pooled, features[::-1], problem)
    start = newton_start(cohort.pooled, features, problem)
    np.testing.assert_allclose(turned[1:], start[:0:-1], atol=1e-9)


def test_it_begins_near_the_answer_where_the_classes_are_normal() -> None:
    """Linear discriminant analysis is the logistic answer there, up to chance."""
    cohort = Cohort(0, 1.0, n=20_000, m=4)
    problem = LogisticProblem.lasso(4, 10.0)
    start = newton_start(cohort.pooled, np.arange(4), problem)
    begun, _ = cohort.both(problem, np.arange(4))
    np.testing.assert_allclose(start, begun.coef, atol=0.1)
    assert begun.rounds <= 3


def test_a_problem_without_features_and_one_that_is_all_penalty() -> None:
    cohort = Cohort(3, 1.5)
    none = newton_start(cohort.pooled, np.zeros(0, int), LogisticProblem.lasso(0, 1.0))
    assert none.tolist() == [0.0]
    closed = LogisticProblem.lasso(12, 1e-6)
    assert not newton_start(cohort.pooled, np.arange(12), closed)[1:].any()


def test_copies_and_constant_features_do_no_harm() -> None:
    cohort = Cohort(5, 3.0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 6)) + 2.0 * cohort.y[:, None]
    x[:, 1], x[:, 2], x[:, 3] = x[:, 0], -x[:, 0], 0.25
    cohort.pooled = standardize(moments(x, cohort.y, cohort.w))
    cohort.z = cohort.pooled.scale(x)
    begun, zero = cohort.both(LogisticProblem.lasso(6, 1.0), np.arange(6))
    score = [cohort.z @ one.coef[1:] + one.coef[0] for one in (begun, zero)]
    np.testing.assert_allclose(score[0], score[1], atol=1e-6)
    assert begun.rounds <= zero.rounds + 1
