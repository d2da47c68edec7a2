"""Principal components from sums, against scikit-learn's on the pooled rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from common.statistics.checks import StatisticsError
from common.statistics.components import in_components, principal_components
from common.statistics.moments import moments, standardize
from common.statistics.pruning import prune, prune_in_order
from common.statistics.sums import total


def cohort(seed, n, q):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 6)) * np.arange(1, 7)
    x = factors @ rng.normal(size=(6, q)) + 0.3 * rng.normal(size=(n, q)) + 5.0
    return x, (factors[:, 0] > 0).astype(float)


@pytest.mark.parametrize(("n", "q", "share"), [(300, 20, 0.9), (300, 20, 0.999), (25, 60, 0.99)])
def test_components_are_scikit_learn_s_on_pooled_rows(n, q, share):
    x, y = cohort(n, n, q)
    problem = standardize(total(moments(x[i::3], y[i::3]) for i in range(3)))
    found = principal_components(problem, candidates=np.arange(q), share=share, largest=q)
    z = StandardScaler().fit_transform(x)
    own = PCA(svd_solver="full").fit(z)
    m = len(found.directions)
    assert m == int(np.searchsorted(np.cumsum(own.explained_variance_ratio_), share)) + 1
    assert found.explained == pytest.approx(own.explained_variance_ratio_[:m].sum(), abs=1e-10)
    expected = own.components_[:m]
    signs = np.sign(expected[np.arange(m), np.abs(expected).argmax(axis=1)])
    np.testing.assert_allclose(found.directions, expected * signs[:, None], atol=1e-10)
    np.testing.assert_allclose(found.variances, own.explained_variance_[:m] * (n - 1) / n)
    white = PCA(m, svd_solver="full", whiten=True).fit_transform(z) * signs
    scores = z @ found.loadings
    np.testing.assert_allclose(scores, white * np.sqrt(n / (n - 1)), atol=1e-9)
    np.testing.assert_allclose(scores.std(axis=0), 1.0)


def test_weights_count_as_rows_that_are_repeated():
    x, y = cohort(3, 80, 9)
    times = np.random.default_rng(0).integers(1, 4, 80)
    weighted = standardize(moments(x, y, times.astype(float)))
    repeated = standardize(moments(np.repeat(x, times, axis=0), np.repeat(y, times)))
    one, two = (
        principal_components(p, candidates=np.arange(9), share=0.99, largest=9)
        for p in (weighted, repeated)
    )
    np.testing.assert_allclose(one.directions, two.directions, atol=1e-10)


def test_features_that_may_not_enter_or_do_not_vary_have_no_part():
    x, y = cohort(4, 100, 8)
    x[:, 2] = 7.0
    problem = standardize(moments(x, y))
    found = principal_components(problem, candidates=np.arange(6), share=1.0, largest=8)
    assert len(found.directions) == 5
    assert not found.directions[:, [2, 6, 7]].any()
    assert (np.abs(found.directions[:, [0, 1, 3, 4, 5]]).max(axis=0) > 0).all()
    assert found.explained == pytest.approx(1.0)
    none = principal_components(problem, candidates=np.array([2]), share=0.9, largest=3)
    assert none.directions.shape == (0, 8)
    assert none.loadings.shape == (8, 0)


def test_the_largest_number_is_kept_and_rounding_asks_for_no_more():
    x, y = cohort(5, 20, 40)
    problem = standardize(moments(x, y))
    every = np.arange(40)
    assert len(principal_components(problem, candidates=every, share=1.0, largest=7).variances) == 7
    # Twenty centred rows span 19 directions.
    whole = principal_components(problem, candidates=every, share=1.0, largest=40)
    assert len(whole.variances) == 19
    for share, largest in ((0.0, 3), (1.1, 3), (0.5, 0)):
        with pytest.raises(StatisticsError):
            principal_components(problem, candidates=every, share=share, largest=largest)


def test_moments_of_columns_are_those_of_the_projected_rows():
    x, y = cohort(6, 120, 10)
    w = np.random.default_rng(1).random(120) + 0.5
    problem = standardize(moments(x, y, w))
    own = principal_components(problem, candidates=np.arange(10), share=0.9, largest=10)
    found = in_components(problem, own.loadings)
    again = standardize(moments(problem.scale(x) @ own.loadings, y, w))
    np.testing.assert_allclose(found.correlation, again.correlation, atol=1e-10)
    np.testing.assert_allclose(found.covariance, again.covariance, atol=1e-10)
    assert found.target_sd == pytest.approx(again.target_sd)
    np.testing.assert_allclose(again.mean, 0.0, atol=1e-10)
    np.testing.assert_allclose(again.sd, 1.0)


def test_pruning_in_order_gives_the_more_telling_first():
    x, y = cohort(7, 200, 15)
    problem = standardize(moments(x, y))
    order = prune_in_order(problem.correlation, problem.target_correlation, 0.9)
    telling = np.abs(problem.target_correlation[order])
    assert (np.diff(telling) <= 1e-9).all()
    kept = prune(problem.correlation, problem.target_correlation, 0.9)
    assert sorted(order.tolist()) == kept.tolist()
    among = np.abs(problem.correlation[np.ix_(order, order)]) - np.eye(order.size)
    assert among.max() <= 0.9
