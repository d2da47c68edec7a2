"""Moments, the standardised problem, pruning, and the form of sums."""

from __future__ import annotations

import numpy as np
import pytest

from common.statistics.checks import StatisticsError
from common.statistics.moments import Moments, moments, standardize
from common.statistics.pruning import prune
from common.statistics.sums import pack_symmetric, total, unpack_symmetric


def rows(seed=0, n=90, q=8):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, q)) @ rng.normal(size=(q, q)) / q + rng.normal(size=q)
    return x, (x[:, 0] + rng.normal(size=n) > 0).astype(float), rng.random(n)


def assert_same(one: Moments, other: Moments, tolerance=1e-12):
    for name, array in one.arrays().items():
        np.testing.assert_allclose(array, other.arrays()[name], atol=tolerance, rtol=0)


def test_sites_add_up_to_pooled_in_any_order():
    x, y, w = rows()
    parts = [moments(x[i::3], y[i::3], w[i::3]) for i in range(3)]
    assert_same(total(parts), moments(x, y, w))
    assert_same(total(parts[::-1]), total(parts))


def test_subset_of_rows_and_columns():
    x, y, w = rows()
    keep, columns = np.arange(90) % 4 != 0, np.array([5, 1, 2])
    wanted = moments(x[keep][:, columns], y[keep], w[keep])
    assert_same(moments(x, y, w, rows=keep, columns=columns), wanted, 0)
    zeroed = moments(x, y, np.where(keep, w, 0.0), columns=columns)
    np.testing.assert_allclose(zeroed.xwx, wanted.xwx, atol=1e-12)
    assert (zeroed.count, wanted.count) == (90, keep.sum())


def test_no_rows_add_nothing():
    x, y, w = rows()
    nothing = moments(x, y, w, rows=np.zeros(90, dtype=bool))
    assert_same(moments(x, y, w) + nothing, moments(x, y, w), 0)
    with pytest.raises(StatisticsError, match="no rows"):
        standardize(nothing)


@pytest.mark.parametrize("weighted", [False, True])
def test_standardised_problem_is_that_of_the_rows(weighted):
    x, y, w = rows(q=12)
    weights = w if weighted else np.ones(len(y))
    problem = standardize(moments(x, y, weights if weighted else None))
    mean = np.average(x, axis=0, weights=weights)
    sd = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    z, centred = (x - mean) / sd, y - np.average(y, weights=weights)
    share = weights / weights.sum()
    np.testing.assert_allclose(problem.mean, mean, atol=1e-13)
    np.testing.assert_allclose(problem.sd, sd, atol=1e-13)
    np.testing.assert_allclose(problem.correlation, (z.T * share) @ z, atol=1e-12)
    np.testing.assert_allclose(problem.covariance, z.T @ (share * centred), atol=1e-13)
    assert problem.target_sd == pytest.approx(np.sqrt(share @ centred**2), abs=1e-13)
    np.testing.assert_allclose(problem.scale(x), z, atol=1e-12)


def test_target_correlation_is_numpys():
    x, y, _ = rows()
    problem = standardize(moments(x, y))
    expected = [np.corrcoef(column, y)[0, 1] for column in x.T]
    np.testing.assert_allclose(problem.target_correlation, expected, atol=1e-12)


def test_constant_features_are_flagged_and_harmless():
    x, y, w = rows()
    x[:, 2], x[:, 5] = 0.0, 0.3
    problem = standardize(moments(x, y, w))
    assert np.flatnonzero(problem.constant).tolist() == [2, 5]
    assert not problem.correlation[[2, 5]].any()
    assert not problem.covariance[[2, 5]].any()
    assert not problem.scale(x)[:, [2, 5]].any()
    assert np.isfinite(problem.scale(x)).all()


def test_constant_target_is_refused():
    x, _, _ = rows()
    with pytest.raises(StatisticsError, match="target is the same"):
        standardize(moments(x, np.ones(90)))


def test_wrong_rows_are_refused():
    x, y, w = rows()
    with pytest.raises(StatisticsError, match="target of shape"):
        moments(x, y[:-1])
    with pytest.raises(StatisticsError, match="weight is negative"):
        moments(x, y, -w)
    x[3, 3] = np.nan
    with pytest.raises(StatisticsError, match="1 values that are NaN"):
        moments(x, y)
    assert moments(x, y, rows=np.arange(90) != 3).count == 89


def test_sums_travel_as_arrays_and_are_checked():
    x, y, w = rows()
    sums = moments(x, y, w)
    assert_same(Moments.from_arrays(sums.arrays()), sums, 0)
    with pytest.raises(StatisticsError, match="arrived"):
        Moments.from_arrays({"count": np.array(1)})
    for name, value, message in [
        ("wx", np.full(8, np.nan), "NaN"),
        ("count", np.array(1.5), "not whole"),
        ("wx", np.zeros(7), "shapes"),
    ]:
        with pytest.raises(StatisticsError, match=message):
            Moments.from_arrays({**sums.arrays(), name: value})


def test_sums_of_other_features_do_not_broadcast():
    x, y, w = rows()
    with pytest.raises(StatisticsError, match="at one site"):
        moments(x, y, w) + moments(x[:, :1], y, w)
    with pytest.raises(StatisticsError, match="no sums"):
        total([])


def test_packing_is_undone():
    matrix = np.arange(25.0).reshape(5, 5)
    matrix += matrix.T
    np.testing.assert_array_equal(unpack_symmetric(pack_symmetric(matrix), 5), matrix)
    with pytest.raises(StatisticsError, match="packed"):
        unpack_symmetric(np.zeros(14), 5)


def test_pruning_keeps_the_more_telling_feature():
    correlation = np.array([[1, 0.95, 0.1], [0.95, 1, -0.92], [0.1, -0.92, 1.0]])
    assert prune(correlation, np.array([0.3, 0.4, 0.1]), 0.9).tolist() == [1]
    assert prune(correlation, np.array([0.5, 0.4, -0.45]), 0.9).tolist() == [0, 2]
    assert prune(correlation, np.array([0.5, 0.4, 0.1]), 1.0).tolist() == [0, 1, 2]


def test_pruning_at_the_limit_keeps_and_above_it_drops():
    correlation = np.array([[1, 0.9], [0.9, 1.0]])
    assert prune(correlation, np.array([0.1, 0.2]), 0.9).tolist() == [0, 1]
    assert prune(correlation, np.array([0.1, 0.2]), 0.8999).tolist() == [1]


def test_pruning_breaks_ties_by_index_despite_rounding():
    x, y, _ = rows(q=4)
    x[:, 3] = -x[:, 1]
    for order in ([0, 1, 2], [2, 0, 1]):
        parts = [moments(x[i::3], y[i::3]) for i in order]
        problem = standardize(total(parts))
        kept = prune(problem.correlation, problem.target_correlation, 0.999)
        assert kept.tolist() == [0, 1, 2]


def test_pruned_features_are_below_the_limit_and_the_rest_is_explained():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 40)) + 0.5 * rng.normal(size=(200, 40))
    x[:, 7] = 0.25
    problem = standardize(moments(x / 3, (x[:, 0] > 0).astype(float)))
    kept = prune(problem.correlation, problem.target_correlation, 0.8)
    among = np.abs(problem.correlation[np.ix_(kept, kept)]) - np.eye(kept.size)
    assert 1 < kept.size < 39
    assert among.max() <= 0.8
    told = np.abs(problem.target_correlation)
    for dropped in set(range(40)) - set(kept.tolist()) - {7}:
        close = kept[np.abs(problem.correlation[dropped, kept]) > 0.8]
        assert told[close].max() >= told[dropped]
    assert 7 not in kept


def test_pruning_refuses_what_does_not_fit():
    with pytest.raises(StatisticsError, match="features"):
        prune(np.eye(3), np.zeros(2), 0.9)
    with pytest.raises(StatisticsError, match="limit"):
        prune(np.eye(2), np.zeros(2), 1.1)
