"""Logistic regression from sums, against scikit-learn on the pooled rows."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression

from common.statistics.checks import StatisticsError
from common.statistics.logistic import (
    LogisticBatch,
    LogisticSums,
    LogisticTask,
    balanced_weights,
    logistic_batch,
    logistic_sums,
)
from common.statistics.newton import LogisticProblem, first_state, next_state
from common.statistics.sums import total


def cohort(seed, n=240, m=12):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 4))
    x = factors @ rng.normal(size=(4, m)) + 1.5 * rng.normal(size=(n, m))
    y = (factors[:, 0] + rng.normal(size=n) > 0.8).astype(int)
    negative, positive = balanced_weights(int((y == 0).sum()), int(y.sum()))
    return (x - x.mean(axis=0)) / x.std(axis=0), y, np.where(y == 1, positive, negative)


def solve(problem, x, y, w, sites=3, start=None):
    state = first_state(problem, start)
    while not state.finished:
        sums = total(
            logistic_sums(x[i::sites], y[i::sites], w[i::sites], state.coef) for i in range(sites)
        )
        state = next_state(problem, state, sums)
    return state


def reference(problem, x, y):
    lasso = problem.l1 > 0
    model = LogisticRegression(
        l1_ratio=1.0 if lasso else 0.0,
        C=1 / (problem.l1 or problem.l2),
        solver="saga" if lasso else "newton-cholesky",
        class_weight="balanced",
        tol=1e-12,
        max_iter=50_000,
        random_state=0,
    ).fit(x, y)
    return np.concatenate([model.intercept_, model.coef_[0]])


@pytest.mark.parametrize("c", [0.05, 0.2, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("make", [LogisticProblem.lasso, LogisticProblem.ridge])
def test_coefficients_are_scikit_learns(make, c):
    for seed in range(2):
        x, y, w = cohort(seed)
        problem = make(x.shape[1], c)
        state = solve(problem, x, y, w)
        expected = reference(problem, x, y)
        assert state.converged
        assert state.rounds <= 8
        np.testing.assert_allclose(state.coef, expected, atol=1e-8)
        np.testing.assert_array_equal(state.coef == 0, expected == 0)


def test_ridge_is_lbfgs_too():
    x, y, w = cohort(3)
    model = LogisticRegression(C=0.5, class_weight="balanced", tol=1e-12, max_iter=5000).fit(x, y)
    state = solve(LogisticProblem.ridge(12, 0.5), x, y, w)
    np.testing.assert_allclose(state.coef[1:], model.coef_[0], atol=1e-6)


def test_a_penalty_that_leaves_nothing_ends_at_once_with_intercept_zero():
    """Balanced classes have intercept 0; scikit-learn's saga stops before its own gets there."""
    x, y, w = cohort(4)
    state = solve(LogisticProblem.lasso(12, 1e-3), x, y, w)
    assert (state.rounds, state.converged) == (1, True)
    np.testing.assert_allclose(state.coef, 0, atol=1e-12)
    stopped = reference(LogisticProblem.lasso(12, 1e-3), x, y)
    assert not stopped[1:].any()
    assert logistic_sums(x, y, w, state.coef).loss < logistic_sums(x, y, w, stopped).loss


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0, 1e5])
@pytest.mark.parametrize("make", [LogisticProblem.lasso, LogisticProblem.ridge])
def test_separable_classes_converge(make, c):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5))
    y = (x[:, 0] > 0).astype(int)
    x[:, 0] += 2 * y - 1
    problem = make(5, c)
    state = solve(problem, x, y, np.ones(60))
    assert state.converged
    sums = logistic_sums(x, y, None, state.coef)
    again = next_state(problem, first_state(problem, state.coef), sums)
    assert again.residual < 1e-9


def test_order_and_number_of_sites_do_not_matter():
    x, y, w = cohort(5)
    problem = LogisticProblem.lasso(12, 0.1)
    pooled = solve(problem, x, y, w, sites=1)
    for sites in (2, 5):
        found = solve(problem, x[::-1], y[::-1], w[::-1], sites)
        np.testing.assert_allclose(found.coef, pooled.coef, atol=1e-11)
        np.testing.assert_array_equal(found.coef == 0, pooled.coef == 0)


def test_a_far_start_steps_back_and_arrives():
    x, y, w = cohort(6)
    for problem in (LogisticProblem.lasso(12, 1.0), LogisticProblem.ridge(12, 1.0)):
        near, far = solve(problem, x, y, w), solve(problem, x, y, w, start=np.full(13, 3.0))
        assert far.converged
        np.testing.assert_allclose(far.coef, near.coef, atol=1e-8)


def test_a_step_that_raises_the_objective_is_halved():
    problem = LogisticProblem.ridge(1, 1.0)
    x, y = np.array([[-1.0], [1.0], [0.5]]), np.array([0, 1, 0])
    first = next_state(problem, first_state(problem), logistic_sums(x, y, None, np.zeros(2)))
    sums = logistic_sums(x, y, None, first.coef)
    worse = LogisticSums(sums.loss + 100.0, sums.weight, sums.gradient, sums.hessian)
    back = next_state(problem, first, worse)
    np.testing.assert_allclose(back.coef, 0.5 * first.coef)
    assert (back.step, back.rounds, back.finished) == (0.5, 2, False)
    for _ in range(40):
        back = next_state(problem, back, worse)
    assert back.stopped
    assert not back.converged
    np.testing.assert_array_equal(back.coef, first.base)


def test_fixed_point_noise_does_not_matter():
    x, y, w = cohort(7)
    for problem in (LogisticProblem.lasso(12, 1.0), LogisticProblem.ridge(12, 10.0)):
        state = first_state(problem)
        while not state.finished:
            sums = logistic_sums(x, y, w, state.coef).arrays()
            coarse = {name: np.round(array * 2.0**40) / 2.0**40 for name, array in sums.items()}
            state = next_state(problem, state, LogisticSums.from_arrays(coarse))
        assert state.converged
        assert state.rounds <= 8
        np.testing.assert_allclose(state.coef, solve(problem, x, y, w).coef, atol=1e-9)


def test_gradient_and_hessian_are_those_of_the_loss():
    x, y, w = cohort(8, n=40, m=3)
    at = np.array([0.2, -0.5, 0.3, 1.0])

    def loss(coef):
        return float(logistic_sums(x, y, w, coef).loss)

    def slope(coef):
        return logistic_sums(x, y, w, coef).gradient

    assert check_grad(loss, slope, at) < 1e-5
    for j in range(4):
        step = 1e-5 * np.eye(4)[j]
        column = (slope(at + step) - slope(at - step)) / 2e-5
        np.testing.assert_allclose(logistic_sums(x, y, w, at).hessian[:, j], column, atol=1e-6)


def test_extreme_scores_stay_finite():
    sums = logistic_sums(np.array([[1e4], [-1e4]]), np.array([0, 1]), None, np.array([0.0, 5.0]))
    assert float(sums.loss) == pytest.approx(1e5)
    assert all(np.isfinite(array).all() for array in sums.arrays().values())


def test_batch_is_the_single_sums_and_splits_again():
    x, y, w = cohort(9)
    rng = np.random.default_rng(0)
    fold = np.where(np.arange(240) % 4 == 0, 0.0, w)
    tasks = [
        LogisticTask(np.array([3, 1, 7]), rng.normal(size=4), w),
        LogisticTask(np.array([0]), rng.normal(size=2), fold),
        LogisticTask(np.zeros(0, dtype=int), rng.normal(size=1)),
    ]
    parts = [
        logistic_batch(
            x[i::2], y[i::2],
            [LogisticTask(t.columns, t.coef, None if t.weights is None else t.weights[i::2])
             for t in tasks],
        )
        for i in range(2)
    ]  # fmt: skip
    merged = total(LogisticBatch.from_arrays(part.arrays()) for part in parts)
    for task, found in zip(tasks, merged.split([3, 1, 0]), strict=True):
        alone = logistic_sums(x[:, task.columns], y, task.weights, task.coef)
        for name, array in alone.arrays().items():
            np.testing.assert_allclose(found.arrays()[name], array, atol=1e-10)
    with pytest.raises(StatisticsError, match="sums of 2 problems"):
        merged.split([3, 1])
    assert logistic_batch(x, y, []).split([]) == []


def test_three_hundred_problems_take_under_a_second():
    x, y, w = cohort(10, n=450, m=60)
    rng = np.random.default_rng(1)
    problems = [LogisticProblem.lasso(20, c) for c in np.geomspace(0.01, 100, 300)]
    columns = [rng.choice(60, 20, replace=False) for _ in problems]
    states = [first_state(problem) for problem in problems]
    rounds = 0
    while not all(state.finished for state in states):
        begin = time.perf_counter()
        tasks = [LogisticTask(c, s.coef, w) for c, s in zip(columns, states, strict=True)]
        batch = logistic_batch(x, y, tasks)
        middle = time.perf_counter()
        sums = batch.split([20] * 300)
        states = [next_state(*each) for each in zip(problems, states, sums, strict=True)]
        assert middle - begin < 1.0
        assert time.perf_counter() - middle < 1.0
        rounds += 1
    assert rounds <= 8
    assert all(state.converged for state in states)


def test_a_finished_state_stays_as_it_is():
    x, y, w = cohort(11)
    problem = LogisticProblem.lasso(12, 1.0)
    state = solve(problem, x, y, w)
    assert state.converged
    assert next_state(problem, state, logistic_sums(x, y, w, state.coef)) is state


def test_copied_features_and_both_penalties():
    x, y, w = cohort(12, m=4)
    x = np.concatenate([x, x[:, :1], -x[:, 1:2]], axis=1)
    for problem in (LogisticProblem.lasso(6, 1.0), LogisticProblem(6, l1=0.5, l2=2.0)):
        state = solve(problem, x, y, w)
        assert state.converged
        sums = logistic_sums(x, y, w, state.coef)
        assert next_state(problem, first_state(problem, state.coef), sums).residual < 1e-9
    np.testing.assert_allclose(state.coef[5], state.coef[1], atol=1e-9)


def test_what_cannot_be_solved_is_refused():
    with pytest.raises(StatisticsError, match="5 rows without and 0 with"):
        balanced_weights(5, 0)
    with pytest.raises(StatisticsError, match="negative"):
        LogisticProblem(3, l1=-1.0)
    problem = LogisticProblem.ridge(2, 1.0)
    with pytest.raises(StatisticsError, match="begins at"):
        first_state(problem, np.zeros(2))
    empty = logistic_sums(np.zeros((0, 2)), np.zeros(0), None, np.zeros(3))
    with pytest.raises(StatisticsError, match="any weight"):
        next_state(problem, first_state(problem), empty)
    x, y, w = cohort(0)
    with pytest.raises(StatisticsError, match="another size"):
        next_state(problem, first_state(problem), logistic_sums(x, y, w, np.zeros(13)))
    with pytest.raises(StatisticsError, match="coefficients for"):
        logistic_sums(x, y, w, np.zeros(3))


def test_balanced_weights_are_scikit_learns():
    assert balanced_weights(30, 10) == pytest.approx((40 / 60, 40 / 20))
