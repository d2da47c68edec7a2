"""AUC from histograms, against scikit-learn and a naive DeLong over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from delong_reference import naive_delong, patients
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from common.statistics.auc import auc_from_histogram, auc_of_scores
from common.statistics.checks import StatisticsError
from common.statistics.scores import BINS, round_scores, score_bins, score_histogram


@pytest.mark.parametrize("grid", [1000, 20, 3])
@pytest.mark.parametrize("seed", range(5))
def test_summed_histograms_give_the_pooled_auc_and_variance(seed, grid):
    scores, labels = patients(seed, grid=grid)
    summed = sum(score_histogram(scores[0, i::4], labels[i::4]) for i in range(4))
    estimate = auc_from_histogram(summed)
    aucs, covariance = naive_delong(round_scores(scores), labels)
    assert estimate.auc == pytest.approx(roc_auc_score(labels, round_scores(scores[0])), abs=1e-12)
    assert estimate.auc == pytest.approx(aucs[0], abs=1e-12)
    assert estimate.variance == pytest.approx(covariance[0, 0], abs=1e-12)
    margin = norm.ppf(0.975) * np.sqrt(covariance[0, 0])
    assert estimate.lower == pytest.approx(max(0, aucs[0] - margin), abs=1e-12)
    assert estimate.upper == pytest.approx(min(1, aucs[0] + margin), abs=1e-12)


def test_one_site_is_pooled():
    scores, labels = patients(7)
    assert auc_of_scores(scores[0], labels) == auc_from_histogram(
        score_histogram(scores[0], labels)
    )


def test_order_of_patients_and_sites_does_not_matter():
    scores, labels = patients(8)
    order = np.random.default_rng(0).permutation(labels.size)
    first = auc_of_scores(scores[0], labels)
    assert auc_of_scores(scores[0][order], labels[order]) == first


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1, allow_nan=False), st.integers(0, 1)), min_size=2, max_size=40
    ).filter(lambda rows: len({label for _, label in rows}) == 2)
)
def test_auc_is_that_of_the_rounded_scores(rows):
    scores, labels = np.array([s for s, _ in rows]), np.array([label for _, label in rows])
    estimate = auc_of_scores(scores, labels)
    assert estimate.auc == pytest.approx(roc_auc_score(labels, round_scores(scores)), abs=1e-12)
    assert 0 <= estimate.lower <= estimate.auc + 1e-12
    assert estimate.auc - 1e-12 <= estimate.upper <= 1


def test_one_patient_of_a_class_has_no_variance():
    estimate = auc_of_scores(np.array([0.1, 0.2, 0.9]), np.array([0, 0, 1]))
    assert (estimate.auc, estimate.variance) == (1.0, None)
    assert (estimate.lower, estimate.upper) == (0.0, 1.0)


def test_complete_separation_has_variance_zero():
    estimate = auc_of_scores(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1]))
    assert (estimate.auc, estimate.variance, estimate.lower, estimate.upper) == (1, 0, 1, 1)


def test_confidence_widens_the_interval():
    scores, labels = patients(1)
    wide, narrow = (auc_of_scores(scores[0], labels, level) for level in (0.99, 0.8))
    assert wide.lower < narrow.lower < narrow.upper < wide.upper


@pytest.mark.parametrize("label", [0, 1])
def test_a_class_without_patients_is_named(label):
    with pytest.raises(StatisticsError, match=f"no patients of class {1 - label}"):
        auc_of_scores(np.array([0.1, 0.4]), np.array([label, label]))


def test_scores_are_rounded_to_a_thousandth():
    assert score_bins(np.array([0.0, 0.0004, 0.0006, 0.29, 0.9999, 1.0])).tolist() == [
        0, 0, 1, 290, 1000, 1000,
    ]  # fmt: skip


def test_histogram_counts_by_class():
    histogram = score_histogram(np.array([0.1, 0.1, 1.0]), np.array([0, 1, 1]))
    assert histogram.shape == (2, BINS)
    assert histogram.dtype == np.int64
    assert (histogram[0, 100], histogram[1, 100], histogram[1, 1000]) == (1, 1, 1)
    assert histogram.sum() == 3


def test_a_site_without_patients_adds_nothing():
    assert score_histogram(np.zeros(0), np.zeros(0)).sum() == 0


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, 1.2], [0, 1], "outside 0 to 1"),
        ([0.1, np.nan], [0, 1], "NaN"),
        ([0.1, 0.2], [0, 2], "neither 0 nor 1"),
        ([0.1, 0.2], [0], "labels of shape"),
    ],
)
def test_wrong_patients_are_refused(scores, labels, message):
    with pytest.raises(StatisticsError, match=message):
        score_histogram(np.array(scores), np.array(labels))


@pytest.mark.parametrize("spoil", [-1, 0.5, np.nan])
def test_wrong_counts_are_refused(spoil):
    histogram = np.ones((2, BINS))
    histogram[0, 3] = spoil
    with pytest.raises(StatisticsError, match="negative or not whole"):
        auc_from_histogram(histogram)


def test_other_shapes_are_refused():
    with pytest.raises(StatisticsError, match="shape"):
        auc_from_histogram(np.ones((2, 100)))
    with pytest.raises(StatisticsError, match="confidence"):
        auc_from_histogram(np.ones((2, BINS)), confidence=95)
