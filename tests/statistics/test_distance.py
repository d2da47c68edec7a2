"""Distances from a pooled distribution: scikit-learn as reference, and what the limit promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.covariance import OAS

from common.statistics.checks import StatisticsError
from common.statistics.distance import Distribution, oracle_shrinkage, shrunken
from common.statistics.moments import Standardized, moments, standardize
from common.statistics.sums import total


def some_rows(rng: np.random.Generator, count: int, features: int) -> np.ndarray:
    mixing = rng.normal(size=(features, features))
    return rng.normal(size=(count, features)) @ mixing + rng.normal(size=features)


def pooled(parts: list[np.ndarray]) -> Standardized:
    return standardize(total([moments(x, np.arange(len(x)) % 2) for x in parts]))


@pytest.mark.parametrize(("count", "features"), [(40, 6), (60, 55), (12, 30)])
def test_shrinkage_and_distances_are_those_of_scikit_learn(count: int, features: int) -> None:
    rng = np.random.default_rng(features)
    x = some_rows(rng, count, features)
    found = shrunken(pooled([x]), np.arange(features), count)
    assert found is not None
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    reference = OAS(assume_centered=True).fit(scaled)
    assert oracle_shrinkage(np.corrcoef(x.T), count) == pytest.approx(reference.shrinkage_)
    assert found.correlation == pytest.approx(reference.covariance_, abs=1e-10)
    new = some_rows(rng, 9, features)
    squares = reference.mahalanobis((new - x.mean(axis=0)) / x.std(axis=0))
    assert found.distances(new) == pytest.approx(np.sqrt(squares / features), rel=1e-8)


def test_it_is_the_same_from_several_sites_and_of_chosen_columns() -> None:
    x = some_rows(np.random.default_rng(3), 50, 8)
    chosen = np.array([6, 1, 6, 3])
    one = shrunken(pooled([x]), chosen, 50)
    many = shrunken(pooled([x[31:], x[:20], x[20:31]]), chosen, 50)
    narrow = shrunken(pooled([x[:, [1, 3, 6]]]), np.arange(3), 50)
    assert one is not None
    assert many is not None
    assert narrow is not None
    assert one.features.tolist() == [1, 3, 6]
    assert many.distances(x) == pytest.approx(one.distances(x), rel=1e-10)
    assert narrow.distances(x[:, [1, 3, 6]]) == pytest.approx(one.distances(x), rel=1e-10)


def test_features_that_do_not_vary_are_left_out() -> None:
    x = some_rows(np.random.default_rng(4), 30, 3)
    x[:, 1] = 2.0
    found = shrunken(pooled([x]), np.arange(3), 30)
    assert found is not None
    assert found.features.tolist() == [0, 2]
    assert shrunken(pooled([x]), np.array([1]), 30) is None


def test_training_rows_are_at_a_distance_of_one_on_average() -> None:
    """Nearly: what is shrunk is no longer quite their own covariance."""
    x = np.random.default_rng(5).normal(size=(4000, 4)) @ (np.eye(4) + 0.3)
    found = shrunken(pooled([x]), np.arange(4), 4000)
    assert found is not None
    assert np.sqrt(np.mean(found.distances(x) ** 2)) == pytest.approx(1.0, abs=0.01)


def test_the_limit_is_exceeded_as_often_as_it_says() -> None:
    """With few rows: a chi-squared limit would be exceeded three times as often."""
    rng = np.random.default_rng(6)
    beyond, beyond_chi2, n, m = 0, 0, 40, 12
    for _ in range(400):
        x = rng.normal(size=(n, m))
        # The unbiased covariance, as the theorem has it; ours divides by n and shrinks a little.
        sd = x.std(axis=0, ddof=1)
        own = Distribution(np.arange(m), x.mean(axis=0), sd, np.corrcoef(x.T), n)
        limit = own.limit(0.95)
        assert limit is not None
        new = own.distances(rng.normal(size=(50, m)))
        beyond += int((new > limit).sum())
        beyond_chi2 += int((new > np.sqrt(chi2.ppf(0.95, m) / m)).sum())
    assert beyond / 20000 == pytest.approx(0.05, abs=0.01)
    assert beyond_chi2 / 20000 > 0.15


def test_with_too_few_rows_there_is_no_limit() -> None:
    one = Distribution(np.arange(5), np.zeros(5), np.ones(5), np.eye(5), 6)
    assert one.limit(0.99) is None
    enough = Distribution(np.arange(5), np.zeros(5), np.ones(5), np.eye(5), 10**7)
    assert enough.limit(0.99) == pytest.approx(np.sqrt(chi2.ppf(0.99, 5) / 5), rel=1e-4)


def test_it_comes_back_from_its_arrays_and_refuses_what_is_not_finite() -> None:
    one = Distribution(np.array([2, 0]), np.array([1.0, 2.0]), np.ones(2), np.eye(2), 9)
    back = Distribution.from_arrays(one.arrays())
    row = np.array([[2.0, np.nan, 4.0]])
    assert back.distances(row) == pytest.approx(one.distances(row))
    assert back.distances(row) == pytest.approx(3.0 / np.sqrt(2.0))
    assert back.rows == 9
    with pytest.raises(StatisticsError, match="not finite"):
        one.distances(np.array([[np.inf, 0.0, 0.0]]))
