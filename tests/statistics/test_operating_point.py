"""Threshold, confusion counts and Wilson's intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from common.statistics.checks import StatisticsError
from common.statistics.operating_point import (
    ConfusionCounts,
    confusion,
    proportions,
    threshold_for_sensitivity,
)
from common.statistics.scores import score_histogram
from common.statistics.wilson import wilson


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=40).filter(
        lambda rows: any(label for _, label in rows)
    ),
    st.floats(0.01, 1),
)
def test_sensitivity_is_never_below_the_target_and_the_threshold_is_the_largest(rows, target):
    scores, labels = np.array([s for s, _ in rows]), np.array([label for _, label in rows])
    threshold = threshold_for_sensitivity(score_histogram(scores, labels), target)

    def sensitivity(at):
        counts = confusion(scores, labels, at)
        return counts.tp / (counts.tp + counts.fn)

    assert sensitivity(threshold) >= target
    above = round(threshold * 1000) + 1
    assert above > 1000 or sensitivity(above / 1000) < target


def test_target_reached_exactly_is_enough():
    scores = np.arange(1, 11) / 10
    histogram = score_histogram(scores, np.ones(10))
    assert threshold_for_sensitivity(histogram, 0.9) == 0.2
    assert threshold_for_sensitivity(histogram, 0.91) == 0.1
    assert threshold_for_sensitivity(histogram, 1.0) == 0.1


def test_threshold_needs_positives_and_a_target():
    only_negative = score_histogram(np.array([0.3]), np.array([0]))
    with pytest.raises(StatisticsError, match="no patients of class 1"):
        threshold_for_sensitivity(only_negative, 0.9)
    for target in (0.0, 1.1, np.nan):
        with pytest.raises(StatisticsError, match="sensitivity of"):
            threshold_for_sensitivity(only_negative, target)


def test_confusion_of_sites_adds_to_pooled():
    rng = np.random.default_rng(0)
    scores, labels = rng.random(200), rng.integers(0, 2, 200)
    whole = confusion(scores, labels, 0.4)
    parts = [confusion(scores[i::3], labels[i::3], 0.4) for i in range(3)]
    assert parts[2] + parts[0] + parts[1] == whole
    assert whole.tp + whole.fp + whole.tn + whole.fn == 200
    assert whole.tp == ((np.rint(scores * 1000) >= 400) & (labels == 1)).sum()


def test_confusion_compares_rounded_scores():
    counts = confusion(np.array([0.2896, 0.2894, 0.29]), np.array([1, 1, 0]), 0.29)
    assert counts == ConfusionCounts(tp=1, fp=1, tn=0, fn=1)


def test_threshold_off_the_grid_is_refused():
    with pytest.raises(StatisticsError, match="not a multiple"):
        confusion(np.array([0.1]), np.array([1]), 0.12345)


def test_counts_travel_as_arrays():
    counts = ConfusionCounts(3, 1, 4, 1)
    floats = {"counts": counts.arrays()["counts"] + 1e-9}
    assert ConfusionCounts.from_arrays(floats) == counts
    for wrong in ([1, 2, 3], [1, 2, 3, -1], [1, 2, 3, 0.5], [1, 2, 3, np.nan]):
        with pytest.raises(StatisticsError):
            ConfusionCounts.from_arrays({"counts": np.array(wrong)})


@pytest.mark.parametrize("denominator", [1, 2, 7, 30, 500])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_is_scipys(denominator, confidence):
    for numerator in {0, 1, denominator // 2, denominator - 1, denominator}:
        found = wilson(numerator, denominator, confidence)
        expected = binomtest(numerator, denominator).proportion_ci(confidence, method="wilson")
        assert found is not None
        assert found.value == numerator / denominator
        assert found.lower == pytest.approx(expected.low, abs=1e-12)
        assert found.upper == pytest.approx(expected.high, abs=1e-12)


def test_proportions_name_their_counts():
    found = proportions(ConfusionCounts(tp=9, fp=5, tn=15, fn=1))
    pairs = [(p.numerator, p.denominator) for p in vars(found).values()]
    assert pairs == [(9, 10), (15, 20), (9, 14), (15, 16)]


def test_proportion_of_nobody_is_none():
    found = proportions(ConfusionCounts(tp=0, fp=0, tn=4, fn=0))
    assert found.sensitivity is None
    assert found.ppv is None
    assert found.specificity is not None
    assert found.npv is not None


def test_impossible_counts_are_refused():
    with pytest.raises(StatisticsError, match="3 of 2"):
        wilson(3, 2)
