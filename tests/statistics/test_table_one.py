"""Table 1 from sums, against scipy.stats on the raw rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from common.statistics.checks import StatisticsError
from common.statistics.group_tests import GroupTest, chi_squared, mann_whitney, of_numbers, t_test
from common.statistics.small_cells import may_show
from common.statistics.sums import total
from common.statistics.table_one import (
    Bins,
    NumberSums,
    described,
    level_counts,
    number_sums,
    quantile,
)

AGE = Bins(15.0, 95.0, 5.0)


def people(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.4).astype(np.int64)
    ages = np.clip(np.round(rng.normal(52 + 6 * labels, 12)), 18, 88)
    ages[rng.random(count) < 0.1] = np.nan
    return ages, labels


def known(values: np.ndarray, labels: np.ndarray, label: int) -> np.ndarray:
    return values[np.isfinite(values) & (labels == label)]


def close(found: GroupTest | None, reference: Any) -> None:
    assert found is not None
    assert found.statistic == pytest.approx(float(reference.statistic), rel=1e-12)
    assert found.p == pytest.approx(float(reference.pvalue), rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_the_t_tests_are_those_of_scipy(seed: int) -> None:
    values, labels = people(seed)
    sums = number_sums(values, labels, AGE)
    high, low = known(values, labels, 1), known(values, labels, 0)
    close(of_numbers(sums, "welch"), stats.ttest_ind(high, low, equal_var=False))
    close(of_numbers(sums, "student"), stats.ttest_ind(high, low))


@pytest.mark.parametrize("seed", range(6))
def test_mann_whitney_is_that_of_scipy_with_ties(seed: int) -> None:
    values, labels = people(seed)
    places = np.floor((values - AGE.lower) / AGE.width)
    reference = stats.mannwhitneyu(
        known(places, labels, 1), known(places, labels, 0), method="asymptotic"
    )
    close(of_numbers(number_sums(values, labels, AGE), "mann-whitney"), reference)


@pytest.mark.parametrize("seed", range(6))
def test_chi_squared_is_that_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = level_counts(rng.integers(0, 3, 90), rng.integers(0, 2, 90), 4)[:, :4]
    reference = stats.chi2_contingency(counts[:, :3], correction=False)
    close(chi_squared(counts), reference)


def test_means_deviations_and_missing_are_those_of_the_rows() -> None:
    values, labels = people(3)
    sums = number_sums(values, labels, AGE)
    for label, own in enumerate(described(sums, AGE)):
        rows = known(values, labels, label)
        assert own is not None
        assert own.n == rows.size == sums.histogram[label].sum()
        assert sums.missing[label] == (labels == label).sum() - rows.size
        assert own.mean == pytest.approx(rows.mean(), rel=1e-12)
        assert own.sd == pytest.approx(rows.std(ddof=1), rel=1e-12)
        for share, found in zip((0.25, 0.5, 0.75), (own.q1, own.median, own.q3), strict=True):
            assert abs(found - np.quantile(rows, share, method="inverted_cdf")) <= AGE.width


def test_a_quantile_is_even_within_its_bin() -> None:
    assert quantile(np.array([2, 2, 0]), Bins(0.0, 30.0, 10.0), 0.5) == 10.0
    assert quantile(np.array([0, 4, 0]), Bins(0.0, 30.0, 10.0), 0.25) == 12.5
    with pytest.raises(StatisticsError, match="no patients"):
        quantile(np.zeros(3), AGE, 0.5)


def test_numbers_outside_the_bounds_count_as_missing() -> None:
    values = np.array([14.9, 15.0, 95.0, 95.1, np.nan, np.inf])
    sums = number_sums(values, np.array([0, 0, 1, 1, 1, 1]), AGE)
    assert sums.count.tolist() == [1, 1]
    assert sums.missing.tolist() == [1, 3]
    assert (sums.histogram[0, 0], sums.histogram[1, -1]) == (1, 1)


def test_several_sites_are_one() -> None:
    parts = [people(seed, 30) for seed in range(3)]
    one = number_sums(
        np.concatenate([values for values, _ in parts]),
        np.concatenate([labels for _, labels in parts]),
        AGE,
    )
    added = total(number_sums(*part, AGE) for part in parts)
    for name, array in one.arrays().items():
        assert np.allclose(array, added.arrays()[name], rtol=1e-13, atol=1e-9)
    high, low = _classes(parts)
    close(of_numbers(added, "welch"), stats.ttest_ind(high, low, equal_var=False))


def _classes(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    values, labels = (np.concatenate(one) for one in zip(*parts, strict=True))
    return known(values, labels, 1), known(values, labels, 0)


def test_where_nothing_can_be_compared_there_is_no_test() -> None:
    same = number_sums(np.full(8, 40.0), np.arange(8) % 2, AGE)
    assert t_test(same, equal_variances=True) is None
    assert mann_whitney(same.histogram) is None
    lonely = number_sums(np.array([40.0, 50.0, 60.0]), np.array([0, 0, 1]), AGE)
    assert t_test(lonely, equal_variances=False) is None
    nobody = NumberSums.from_arrays(
        {name: np.zeros_like(array) for name, array in lonely.arrays().items()}
    )
    assert described(nobody, AGE) == (None, None)
    assert mann_whitney(nobody.histogram) is None
    assert chi_squared(np.array([[5, 0], [7, 0]])) is None
    assert chi_squared(np.array([[5, 2], [0, 0]])) is None


def test_counts_are_shown_only_if_none_of_them_is_small() -> None:
    assert may_show(np.array([0, 5, 12]), 5)
    assert not may_show(np.array([0, 4, 12]), 5)
    assert not may_show(np.array([1, 30]), 2)
