"""Stacking by linear discriminant, from sums: against scikit-learn and in its corners."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from common.statistics.checks import StatisticsError
from common.statistics.discriminant import discriminant
from common.statistics.moments import moments
from common.statistics.sums import total


def scores(seed, n=200, lift=(1.5, 0.8), correlation=0.4):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(int)
    noise = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], n)
    return noise + np.outer(y, lift) + 0.3, y


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_scikit_learn_on_the_pooled_rows(seed):
    x, y = scores(seed, lift=(1.2, 1.1), correlation=0.2)
    thirds = np.arange(len(y)) % 3
    found = discriminant(total([moments(x[thirds == k], y[thirds == k]) for k in range(3)]))
    lda = LinearDiscriminantAnalysis(solver="lsqr").fit(x, y)
    np.testing.assert_allclose(found.weights, lda.coef_[0], rtol=1e-7)
    assert found.intercept == pytest.approx(float(lda.intercept_[0]), rel=1e-6, abs=1e-7)


def test_class_weights_balance_the_prior():
    x, y = scores(3, n=4000)
    weights = np.where(y == 1, 1 / y.mean(), 1 / (1 - y.mean()))
    found = discriminant(moments(x, y, weights))
    middle = (x[y == 1].mean(axis=0) + x[y == 0].mean(axis=0)) / 2
    assert found.intercept + found.weights @ middle == pytest.approx(0.0, abs=1e-9)


def test_separated_classes_have_a_finite_answer():
    x, y = scores(1, lift=(20.0, 20.0))
    found = discriminant(moments(x, y))
    assert np.isfinite(found.intercept)
    assert (found.weights > 0).all()


def test_a_misleading_score_is_left_out():
    x, y = scores(2, lift=(1.5, -1.0), correlation=0.0)
    found = discriminant(moments(x, y))
    assert found.weights[1] == 0.0
    alone = discriminant(moments(x[:, :1], y))
    assert found.weights[0] == pytest.approx(alone.weights[0])


def test_where_nothing_was_learnt_all_scores_count_alike():
    x, y = scores(4, lift=(-1.0, -1.0))
    x[:, 1] *= 10
    found = discriminant(moments(x, y))
    assert found.weights[0] == pytest.approx(10 * found.weights[1], rel=0.2)


def test_one_class_or_constant_scores_are_refused():
    x, y = scores(5)
    with pytest.raises(StatisticsError, match="one class"):
        discriminant(moments(x, np.zeros_like(y)))
    with pytest.raises(StatisticsError, match="varies"):
        discriminant(moments(np.ones_like(x), y))
