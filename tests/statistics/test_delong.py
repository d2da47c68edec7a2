"""Paired DeLong in one place and from sums, against each other and the definition."""

from __future__ import annotations

import numpy as np
import pytest
from delong_reference import naive_delong, patients
from scipy.stats import norm

from common.statistics.checks import StatisticsError
from common.statistics.delong import (
    PlacementSums,
    compare,
    covariance_from_sums,
    delong_covariance,
    placement_sums,
)
from common.statistics.scores import round_scores, score_histogram
from common.statistics.sums import total


def over_sites(scores, labels, sites, order=None):
    chosen = [np.arange(labels.size) % sites == site for site in (order or range(sites))]
    pooled = sum(
        np.stack([score_histogram(row[rows], labels[rows]) for row in scores]) for rows in chosen
    )
    return total(placement_sums(scores[:, rows], labels[rows], pooled) for rows in chosen)


@pytest.mark.parametrize("grid", [1000, 25])
@pytest.mark.parametrize("seed", range(5))
def test_both_ways_are_the_definition(seed, grid):
    scores, labels = patients(seed, models=3, grid=grid)
    scores = round_scores(scores)
    aucs, covariance = naive_delong(scores, labels)
    here = delong_covariance(scores, labels)
    there = covariance_from_sums(over_sites(scores, labels, sites=4))
    for found in (here, there):
        np.testing.assert_allclose(found[0], aucs, atol=1e-12, rtol=0)
        np.testing.assert_allclose(found[1], covariance, atol=1e-12, rtol=0)
    z = (aucs[0] - aucs[2]) / np.sqrt(covariance[0, 0] + covariance[2, 2] - 2 * covariance[0, 2])
    for found in (here, there):
        comparison = compare(*found, 0, 2)
        assert comparison.difference == pytest.approx(aucs[0] - aucs[2], abs=1e-12)
        assert comparison.z == pytest.approx(z, abs=1e-9)
        assert comparison.p == pytest.approx(2 * norm.sf(abs(z)), abs=1e-9)


def test_one_model_needs_no_pair():
    scores, labels = patients(3)
    _, covariance = delong_covariance(scores, labels)
    assert covariance.shape == (1, 1)


def test_order_of_sites_does_not_matter():
    scores, labels = patients(11, models=2)
    forward = covariance_from_sums(over_sites(scores, labels, 3))
    backward = covariance_from_sums(over_sites(scores, labels, 3, order=[2, 1, 0]))
    np.testing.assert_allclose(forward[1], backward[1], atol=1e-15)


def test_one_site_is_pooled_and_an_empty_one_adds_nothing():
    scores, labels = patients(12, models=2)
    sums = over_sites(scores, labels, 1)
    pooled = np.stack([score_histogram(row, labels) for row in scores])
    empty = placement_sums(np.zeros((2, 0)), np.zeros(0), pooled)
    np.testing.assert_array_equal((sums + empty).products, sums.products)
    np.testing.assert_allclose(
        covariance_from_sums(sums)[1], delong_covariance(scores, labels)[1], atol=1e-12
    )


def test_sums_travel_as_arrays():
    scores, labels = patients(13, models=3)
    sums = over_sites(scores, labels, 2)
    floats = {name: array.astype(float) for name, array in sums.arrays().items()}
    again = PlacementSums.from_arrays(floats)
    assert again.counts.dtype == np.int64
    assert sum(array.size for array in floats.values()) == 2 + 2 * 3 + 2 * 6
    np.testing.assert_array_equal(again.products, sums.products)


def test_fixed_point_noise_does_not_matter():
    scores, labels = patients(14, models=2)
    sums = over_sites(scores, labels, 2)
    coarse = {name: np.round(array * 2.0**40) / 2.0**40 for name, array in sums.arrays().items()}
    found = covariance_from_sums(PlacementSums.from_arrays(coarse))
    np.testing.assert_allclose(found[1], covariance_from_sums(sums)[1], atol=1e-12)


def test_the_same_model_twice_has_p_one():
    scores, labels = patients(4)
    twice = np.concatenate([scores, scores])
    for found in (
        delong_covariance(twice, labels),
        covariance_from_sums(over_sites(twice, labels, 3)),
    ):
        comparison = compare(*found, 0, 1)
        assert (comparison.difference, comparison.z, comparison.p) == (0.0, 0.0, 1.0)


def test_difference_without_variance_has_no_p():
    labels = np.array([0, 0, 0, 1, 1, 1])
    scores = np.stack([labels * 0.5 + 0.2, 0.9 - labels * 0.5])
    comparison = compare(*delong_covariance(scores, labels), 0, 1)
    assert (comparison.difference, comparison.z, comparison.p) == (1.0, None, None)


def test_too_few_patients_are_refused():
    with pytest.raises(StatisticsError, match="2 patients without and 1 with"):
        delong_covariance(np.array([[0.1, 0.2, 0.3]]), np.array([0, 0, 1]))
    with pytest.raises(StatisticsError, match="at least two"):
        covariance_from_sums(over_sites(np.array([[0.1, 0.2, 0.3]]), np.array([0, 0, 1]), 1))


def test_other_patients_than_pooled_are_refused():
    scores, labels = patients(5)
    pooled = np.stack([score_histogram(row, labels) for row in scores])
    with pytest.raises(StatisticsError, match="do not hold this site's own"):
        placement_sums(1 - scores * 0.9, labels, pooled)
    with pytest.raises(StatisticsError, match="pooled histograms of shape"):
        placement_sums(scores, labels, pooled[0])
