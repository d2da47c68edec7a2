"""Intra-class correlation from sums, against an analysis of variance by least squares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols

from common.statistics.checks import StatisticsError
from common.statistics.intraclass import PairSums, intraclass, pair_shapes, pair_sums
from common.statistics.sums import total


def two_masks(seed, sizes=(14, 9, 11), p=3, shift=0.4, noise=0.5):
    """Features (n, p) by two masks at several sites, which differ by their level."""
    rng = np.random.default_rng(seed)
    sites = []
    for number, n in enumerate(sizes):
        truth = rng.normal(size=(n, p)) * (0.3 + np.arange(p)) + 4 * number
        first = truth + noise * rng.normal(size=(n, p))
        second = truth + shift + noise * rng.normal(size=(n, p))
        sites.append((first, second, np.arange(n) // 2))
    return sites


def by_least_squares(sites, feature):
    """ICC(2,1) and ICC(3,1) from the mean squares of slices within sites, masks and residuals."""
    rows = [
        {"site": str(k), "slice": f"{k}.{i}", "mask": m, "value": both[m][i, feature]}
        for k, both in enumerate(sites)
        for i in range(len(both[0]))
        for m in (0, 1)
    ]
    frame = pd.DataFrame(rows)
    # Slices are numbered within sites: their columns span those for sites as well.
    by_site, by_slice, whole = (
        ols(f"value ~ {terms}", frame).fit()
        for terms in ("C(site)", "C(slice)", "C(slice) + C(mask)")
    )
    freedom = by_site.df_resid - by_slice.df_resid
    between = (by_site.ssr - by_slice.ssr) / freedom
    masks = (by_slice.ssr - whole.ssr) / (by_slice.df_resid - whole.df_resid)
    error = whole.ssr / whole.df_resid
    n = sum(len(both[0]) for both in sites)
    agreement = (between - error) / (between + error + 2 * (masks - error) / n)
    return agreement, (between - error) / (between + error), freedom


def test_it_is_that_of_an_analysis_of_variance():
    sites = two_masks(1)
    sums = total(pair_sums(*own) for own in sites)
    for feature in range(3):
        agreement, consistency, freedom = by_least_squares(sites, feature)
        assert freedom == int(sums.count) - int(sums.sites)
        assert intraclass(sums, "agreement")[feature] == pytest.approx(agreement, abs=1e-10)
        assert intraclass(sums, "consistency")[feature] == pytest.approx(consistency, abs=1e-10)


def test_one_site_is_shrout_and_fleiss():
    """Their two-way formulas, written out over the n x 2 table."""
    (first, second, owner), *_ = two_masks(2, sizes=(20,), p=1)
    table = np.column_stack([first, second])
    n, k = table.shape
    grand = table.mean()
    rows = k * ((table.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    columns = n * ((table.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    rest = ((table - grand) ** 2).sum() - rows * (n - 1) - columns * (k - 1)
    error = rest / ((n - 1) * (k - 1))
    sums = pair_sums(first, second, owner)
    expected = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    assert intraclass(sums, "agreement")[0] == pytest.approx(expected, abs=1e-12)
    expected = (rows - error) / (rows + (k - 1) * error)
    assert intraclass(sums, "consistency")[0] == pytest.approx(expected, abs=1e-12)


def test_a_shift_counts_as_disagreement_only_where_agreement_is_asked_for():
    still, moved = (total(pair_sums(*one) for one in two_masks(3, shift=s)) for s in (0.0, 3.0))
    np.testing.assert_allclose(intraclass(still, "consistency"), intraclass(moved, "consistency"))
    assert (intraclass(moved, "agreement") < intraclass(still, "agreement") - 0.1).all()


def test_a_level_of_a_site_is_not_reproducibility():
    """Noise at sites of different levels: a pooled table would call it reproducible."""
    rng = np.random.default_rng(4)
    sites = [
        (level + rng.normal(size=(60, 1)), level + rng.normal(size=(60, 1)), np.arange(60))
        for level in (0.0, 20.0, 40.0)
    ]
    assert abs(intraclass(total(pair_sums(*one) for one in sites), "agreement")[0]) < 0.2
    first, second = (np.concatenate([one[k] for one in sites]) for k in (0, 1))
    assert intraclass(pair_sums(first, second, np.arange(180)), "agreement")[0] > 0.95


def test_the_order_of_sites_does_not_matter_and_an_empty_site_adds_nothing():
    sites = two_masks(5)
    empty = pair_sums(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    assert not any(array.any() for array in empty.arrays().values())
    first = intraclass(total(pair_sums(*one) for one in sites), "agreement")
    other = total([empty, *(pair_sums(*one) for one in sites[::-1])])
    np.testing.assert_allclose(intraclass(other, "agreement"), first, rtol=1e-12)
    assert {name: array.shape for name, array in empty.arrays().items()} == pair_shapes(3)


def test_constant_features_have_none_and_identical_masks_have_all():
    rng = np.random.default_rng(6)
    x = np.column_stack([np.full(10, 2.0), rng.normal(size=10)])
    found = intraclass(pair_sums(x, x, np.arange(10)), "agreement")
    assert found.tolist() == [0.0, 1.0]


def test_too_few_slices_are_refused():
    one = pair_sums(np.ones((2, 1)), np.ones((2, 1)), np.arange(2))
    with pytest.raises(StatisticsError, match="2 slices at 1 sites"):
        intraclass(one, "agreement")
    with pytest.raises(StatisticsError, match="same slices"):
        pair_sums(np.ones((2, 1)), np.ones((3, 1)), np.arange(2))
    with pytest.raises(StatisticsError):
        PairSums.from_arrays({"count": np.array(1)})
