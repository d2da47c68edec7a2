"""The LASSO path from sums, against scikit-learn's on the pooled rows."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.linear_model import Lasso, LinearRegression
from sklearn.linear_model import lasso_path as pooled_path

from common.statistics.checks import StatisticsError
from common.statistics.lasso import lasso_path, select
from common.statistics.moments import moments, standardize
from common.statistics.quadratic import minimise_l1
from common.statistics.sums import total


def cohort(seed, n, q, noise=0.4):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 12))
    x = factors @ rng.normal(size=(12, q)) / np.sqrt(12) + noise * rng.normal(size=(n, q))
    return x, (factors[:, 0] + 0.5 * factors[:, 1] + rng.normal(size=n) > 0).astype(float)


def violation(problem, penalty, beta, use):
    """Return the greatest violation of the optimality conditions among the features in use."""
    gradient = problem.correlation @ beta - problem.covariance
    at_zero = np.maximum(np.abs(gradient) - penalty, 0)
    elsewhere = np.abs(gradient + penalty * np.sign(beta))
    return np.where(beta == 0, at_zero, elsewhere)[use].max()


@pytest.mark.parametrize(
    ("n", "q", "noise"), [(400, 60, 0.4), (150, 40, 0.05), (60, 200, 0.4), (50, 120, 0.2)]
)
def test_path_is_that_of_the_pooled_rows(n, q, noise):
    x, y = cohort(n + q, n, q, noise)
    problem = standardize(total(moments(x[i::3], y[i::3]) for i in range(3)))
    path = lasso_path(problem, largest=20, steps=60, ratio=0.01)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    _, expected, _ = pooled_path(z, y - y.mean(), alphas=path.lambdas, tol=1e-14, max_iter=200_000)
    np.testing.assert_allclose(path.coefficients, expected.T, atol=1e-9)
    np.testing.assert_array_equal(path.coefficients != 0, expected.T != 0)


def test_weights_are_scikit_learns():
    x, y = cohort(5, 120, 30)
    w = np.random.default_rng(0).random(120) + 0.1
    problem = standardize(moments(x, y, w))
    path = lasso_path(problem, largest=30, steps=40)
    alpha, z = path.lambdas[20], problem.scale(x)
    model = Lasso(alpha=alpha, tol=1e-15, max_iter=100_000).fit(z, y, sample_weight=w)
    np.testing.assert_allclose(path.coefficients[20], model.coef_, atol=1e-9)
    assert model.intercept_ == pytest.approx(problem.target_mean, abs=1e-9)


def test_penalties_by_feature_rescale_columns():
    x, y = cohort(6, 200, 30)
    factors = np.where(np.arange(30) < 15, 0.5, 2.0)
    problem = standardize(moments(x, y))
    z = problem.scale(x) / factors
    for penalty in (0.1, 0.03, 0.01):
        found = minimise_l1(
            problem.correlation, problem.covariance, penalty * factors, np.zeros(30)
        )
        model = Lasso(alpha=penalty, tol=1e-15, max_iter=100_000).fit(z, y)
        np.testing.assert_allclose(found, model.coef_ / factors, atol=1e-9)


def test_barred_and_constant_features_never_enter():
    x, y = cohort(7, 100, 20)
    x[:, 4] = 0.1
    problem = standardize(moments(x, y))
    best = int(np.abs(problem.covariance).argmax())
    allowed = np.setdiff1d(np.arange(1, 18), [best])
    path = lasso_path(problem, candidates=allowed, steps=50)
    ever = np.flatnonzero(path.coefficients.any(axis=0))
    assert ever.size
    assert not set(ever) & {0, 4, 18, 19, best}
    mask = np.zeros(20, dtype=bool)
    mask[allowed] = True
    again = lasso_path(problem, candidates=mask, steps=50)
    np.testing.assert_array_equal(again.coefficients, path.coefficients)


@pytest.mark.parametrize("seed", range(40))
def test_degenerate_features_still_give_an_optimum(seed):
    """Copies, negatives, near copies, few levels, fewer rows than features."""
    rng = np.random.default_rng(seed)
    n, q = int(rng.integers(8, 60)), int(rng.integers(2, 80))
    x = rng.normal(size=(n, q))
    half = q // 2
    near = rng.choice([0, 1e-14, 1e-9, 1e-6, 1e-3]) * rng.normal(size=(n, half))
    x[:, half : 2 * half] = x[:, :half] * rng.choice([-1, 1], size=half) + near
    x = np.round(x) if seed % 3 == 0 else x
    y = rng.integers(0, 2, n).astype(float)
    y[:2] = 0, 1
    problem = standardize(moments(x, y))
    allowed = rng.random(q) < 0.75
    allowed[0] = True
    path = lasso_path(problem, candidates=allowed, largest=q, steps=40)
    use, beta = allowed & ~problem.constant, np.zeros(q)
    factors = rng.choice([0.0, 0.5, 1.0, 2.0], size=q)
    factors[problem.constant] = 1.0
    for penalty, solution in zip(path.lambdas, path.coefficients, strict=True):
        assert violation(problem, penalty, solution, use) < 1e-10
        beta = minimise_l1(problem.correlation, problem.covariance, penalty * factors, beta)
        assert violation(problem, penalty * factors, beta, ~problem.constant) < 1e-8


def test_order_of_sites_does_not_matter():
    x, y = cohort(9, 150, 50)
    x[:, 30] = x[:, 3]
    parts = [moments(x[i::4], y[i::4]) for i in range(4)]
    one, other = (lasso_path(standardize(total(p)), largest=20) for p in (parts, parts[::-1]))
    for a, b in zip(select(one, (5, 10, 20)), select(other, (5, 10, 20)), strict=True):
        np.testing.assert_array_equal(a.features, b.features)
        np.testing.assert_allclose(a.coefficients, b.coefficients, atol=1e-11)


def test_selection_is_the_last_with_at_most_its_size():
    x, y = cohort(10, 150, 80)
    path = lasso_path(standardize(moments(x, y)), largest=20)
    assert path.sizes[0] == 0
    assert path.sizes[-1] > 20
    for selection in select(path, (1, 5, 10, 20)):
        step = int(np.flatnonzero(path.lambdas == selection.penalty)[0])
        assert len(selection.features) <= selection.size
        assert (path.sizes[step + 1 :] > selection.size).all()
        np.testing.assert_array_equal(
            path.coefficients[step, selection.features], selection.coefficients
        )


def test_path_that_ends_early_is_not_asked_beyond():
    x, y = cohort(11, 150, 30)
    problem = standardize(moments(x, y))
    short = lasso_path(problem, largest=3)
    with pytest.raises(StatisticsError, match="stopped at"):
        select(short, (25,))
    whole = lasso_path(problem, largest=30)
    assert whole.complete
    assert select(whole, (50,))[0].penalty == whole.lambdas[-1]
    with pytest.raises(StatisticsError, match="at least 1"):
        select(whole, (0,))


def test_wrong_arguments_are_refused():
    x, y = cohort(12, 50, 5)
    problem = standardize(moments(x, y))
    for wrong in (
        {"largest": 0},
        {"steps": 1},
        {"ratio": 1.0},
        {"candidates": np.zeros(0, dtype=int)},
    ):
        with pytest.raises(StatisticsError):
            lasso_path(problem, **wrong)


def test_a_thousand_features_take_under_two_seconds():
    x, y = cohort(13, 600, 1200)
    problem = standardize(moments(x, y))
    begin = time.perf_counter()
    path = lasso_path(problem)
    assert time.perf_counter() - begin < 2.0
    assert path.sizes[-1] > 50


def test_without_penalty_the_quadratic_is_least_squares():
    x, y = cohort(14, 100, 6)
    problem = standardize(moments(x, y))
    found = minimise_l1(problem.correlation, problem.covariance, np.zeros(6), np.zeros(6))
    np.testing.assert_allclose(found, LinearRegression().fit(problem.scale(x), y).coef_, atol=1e-9)


def test_start_does_not_matter():
    x, y = cohort(15, 100, 20)
    problem = standardize(moments(x, y))
    penalty = np.full(20, 0.02)
    cold = minimise_l1(problem.correlation, problem.covariance, penalty, np.zeros(20))
    rng = np.random.default_rng(0)
    for _ in range(20):
        start = rng.normal(size=20) * rng.integers(0, 2, 20)
        warm = minimise_l1(problem.correlation, problem.covariance, penalty, start)
        np.testing.assert_allclose(warm, cold, atol=1e-10)
