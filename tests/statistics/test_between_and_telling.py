"""Variance between batches, leading components and discriminants from sums, against references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from common.statistics import telling_apart
from common.statistics.between_batches import between_sums, eta_squared
from common.statistics.checks import StatisticsError
from common.statistics.leading_components import leading_components
from common.statistics.moments import moments, standardize
from common.statistics.sums import total
from common.statistics.telling_apart import (
    Accuracy,
    separate,
    share_right,
    telling_sums,
)
from common.statistics.wilson import wilson


def patients(seed: int, count: int = 90, size: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 3, count)
    x = rng.normal(size=(count, size)) @ rng.normal(size=(size, size))
    return x + 0.9 * groups[:, None] * rng.normal(size=size), groups


def test_eta_squared_is_that_of_its_definition() -> None:
    x, groups = patients(1)
    x[:, 3] = 2.5
    mean = x.mean(axis=0)
    between = sum((groups == g).sum() * (x[groups == g].mean(axis=0) - mean) ** 2 for g in range(3))
    whole = ((x - mean) ** 2).sum(axis=0)
    found = eta_squared(between_sums(x, [str(g) for g in groups]))
    assert np.allclose(found[:3], (between / np.where(whole > 0, whole, 1.0))[:3], rtol=1e-10)
    assert np.isnan(found[3])


def test_eta_squared_of_sites_is_that_of_all_rows_in_any_order() -> None:
    x, groups = patients(2)
    names = np.array(["a", "b", "c"])[groups]
    parts = [between_sums(x[groups == g], names[groups == g].tolist()) for g in range(3)]
    whole = eta_squared(between_sums(x, names.tolist()))
    for order in (parts, parts[::-1]):
        assert np.allclose(eta_squared(total(order)), whole, rtol=1e-10)
    with pytest.raises(StatisticsError, match="no rows"):
        eta_squared(between_sums(np.zeros((0, 2)), []))


def test_components_are_those_of_scikit_learn() -> None:
    x, _ = patients(3, size=6)
    y = (np.arange(len(x)) % 2).astype(float)
    found = leading_components(standardize(moments(x, y)), 6, 3)
    reference = PCA(3, whiten=True).fit(StandardScaler().fit_transform(x))
    expected = reference.transform(StandardScaler().fit_transform(x))
    own = found.of(x)
    signs = np.sign((own * expected).sum(axis=0))
    # scikit-learn whitens with n - 1.
    assert np.allclose(own, expected * signs * np.sqrt(len(x) / (len(x) - 1)), atol=1e-8)


def test_components_beyond_what_varies_are_nothing() -> None:
    x = np.repeat(np.random.default_rng(0).normal(size=(20, 1)), 3, axis=1)
    x[:, 2] = 7.0
    found = leading_components(standardize(moments(x, (np.arange(20) % 2).astype(float))), 3, 5)
    assert found.axes.shape == (3, 5)
    assert not found.axes[:, 1:].any()
    assert not found.axes[2].any()


@pytest.mark.parametrize("seed", range(4))
def test_the_discriminant_is_that_of_scikit_learn(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling_apart, "RIDGE", 0.0)
    x, groups = patients(seed)
    held, held_groups = patients(seed + 50)
    rule = separate(telling_sums(x, groups, 3), np.ones(3, bool))
    # scikit-learn divides the spread within groups by n, and adds the logarithm of the priors.
    reference = LinearDiscriminantAnalysis(solver="lsqr").fit(x, groups)
    shrunk = (len(x) - 3) / len(x)
    assert np.allclose(rule.weights, reference.coef_ * shrunk, rtol=1e-6, atol=1e-9)
    constant = reference.intercept_ - np.log(reference.priors_)
    assert np.allclose(rule.intercepts, constant * shrunk, rtol=1e-6, atol=1e-9)
    told = np.argmax(held @ rule.weights.T + rule.intercepts, axis=1)
    counts = np.bincount(held_groups, minlength=3)
    found = share_right(held, held_groups, rule, 1.0 / (3 * counts))
    assert found == pytest.approx(balanced_accuracy_score(held_groups, told), rel=1e-12)


def test_sums_of_sites_are_those_of_all_patients() -> None:
    x, groups = patients(4)
    whole = telling_sums(x, groups, 3)
    parts = total(telling_sums(x[own], groups[own], 3) for own in np.split(np.arange(90), 3))
    for name, array in whole.arrays().items():
        assert np.allclose(array, parts.arrays()[name], rtol=1e-12)


def test_patients_of_no_group_are_left_out_and_a_group_that_is_not_compared_is_never_told() -> None:
    x, groups = patients(5)
    some = np.where(groups == 2, -1, groups)
    sums = telling_sums(x, some, 3)
    assert sums.count.tolist() == [(groups == 0).sum(), (groups == 1).sum(), 0]
    rule = separate(sums, np.array([True, True, False]))
    told = np.argmax(x @ rule.weights.T + rule.intercepts, axis=1)
    assert set(told.tolist()) == {0, 1}
    assert share_right(x, np.full(90, -1), rule, np.ones(3)) == 0.0
    with pytest.raises(StatisticsError, match="two groups"):
        separate(sums, np.array([True, False, True]))


@pytest.mark.parametrize(("right", "each"), [(40, 30), (0, 10), (60, 30), (31, 20)])
def test_the_interval_is_wilson_s_where_groups_are_alike(right: int, each: int) -> None:
    count = 2 * each
    right = min(right, count)
    reference: Any = wilson(right, count)
    found = Accuracy.of(right / count, np.array([each, each]))
    assert found.value == reference.value
    assert (found.lower, found.upper) == pytest.approx((reference.lower, reference.upper))
