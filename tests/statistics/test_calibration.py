"""Calibration, decision and ROC curves from histograms, against scikit-learn and statsmodels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import roc_curve as sklearn_roc
from statsmodels.stats.proportion import proportion_confint

from common.statistics.calibration import brier_score, calibration_groups
from common.statistics.calibration_line import (
    EDGE,
    Recalibration,
    calibration_line,
    recalibration,
)
from common.statistics.checks import StatisticsError
from common.statistics.decision_curve import decision_curve
from common.statistics.roc import roc_curve
from common.statistics.scores import BINS, round_scores, score_histogram

SEEDS = range(6)


def patients(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Scores rounded to 1/1000, ends among them, and labels that follow them badly."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.4).astype(int)
    logits = rng.normal(1.2 * labels - 0.3, 1.5)
    scores = np.clip(1 / (1 + np.exp(-2.0 * logits)) + rng.normal(0, 0.02, count), 0, 1)
    return round_scores(scores), labels


def logit(scores: np.ndarray) -> np.ndarray:
    inside = np.clip(scores, EDGE, 1 - EDGE)
    return np.log(inside / (1 - inside))


@pytest.mark.parametrize("seed", SEEDS)
def test_brier_is_scikit_learn_s_and_its_parts_add_up(seed: int) -> None:
    scores, labels = patients(seed)
    found = brier_score(score_histogram(scores, labels))
    assert found.score == pytest.approx(brier_score_loss(labels, scores), abs=1e-14)
    parts = found.reliability - found.resolution + found.uncertainty
    assert parts == pytest.approx(found.score, abs=1e-14)
    assert found.uncertainty == pytest.approx(np.var(labels), abs=1e-14)
    reliability = resolution = 0.0
    for score in np.unique(scores):
        own = labels[scores == score]
        reliability += own.size * (score - own.mean()) ** 2 / labels.size
        resolution += own.size * (own.mean() - labels.mean()) ** 2 / labels.size
    assert found.reliability == pytest.approx(reliability, abs=1e-14)
    assert found.resolution == pytest.approx(resolution, abs=1e-14)
    assert found.scaled == pytest.approx(1 - found.score / np.var(labels))


@pytest.mark.parametrize("seed", SEEDS)
def test_groups_are_scikit_learn_s_quantile_groups_where_nobody_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.choice(np.arange(1, 1000), 200, replace=False) / 1000
    labels = (rng.random(200) < scores).astype(int)
    observed, predicted = calibration_curve(labels, scores, n_bins=10, strategy="quantile")
    found = calibration_groups(score_histogram(scores, labels), 10)
    assert [one.patients for one in found] == [20] * 10
    assert [one.observed.value for one in found] == pytest.approx(observed.tolist(), abs=1e-14)
    assert [one.predicted for one in found] == pytest.approx(predicted.tolist(), abs=1e-14)
    for one in found:
        low, high = proportion_confint(one.observed.numerator, one.patients, method="wilson")
        assert (one.observed.lower, one.observed.upper) == pytest.approx((low, high), abs=1e-12)


def test_groups_hold_every_patient_once_and_ties_stay_together() -> None:
    scores, labels = patients(3)
    scores = np.round(scores, 1)
    found = calibration_groups(score_histogram(scores, labels), 10)
    assert sum(one.patients for one in found) == labels.size
    assert sum(one.observed.numerator for one in found) == labels.sum()
    for before, after in pairwise(found):
        assert before.upper < after.lower


@pytest.mark.parametrize("seed", SEEDS)
def test_slope_and_intercept_are_scikit_learn_s_without_a_penalty(seed: int) -> None:
    scores, labels = patients(seed)
    found = calibration_line(score_histogram(scores, labels))
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    model.fit(logit(scores)[:, None], labels)
    assert found.slope is not None
    assert found.intercept is not None
    assert found.slope.value == pytest.approx(float(model.coef_[0, 0]), abs=1e-8)
    assert found.intercept.value == pytest.approx(float(model.intercept_[0]), abs=1e-8)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_line_and_its_intervals_are_statsmodels(seed: int) -> None:
    scores, labels = patients(seed)
    found = calibration_line(score_histogram(scores, labels))
    fitted = sm.GLM(labels, sm.add_constant(logit(scores)), sm.families.Binomial()).fit(tol=1e-13)
    offset = sm.GLM(labels, np.ones(labels.size), sm.families.Binomial(), offset=logit(scores)).fit(
        tol=1e-13
    )
    triples = (
        (found.intercept, fitted, 0), (found.slope, fitted, 1), (found.in_the_large, offset, 0)
    )  # fmt: skip
    for own, reference, place in triples:
        assert own is not None
        assert own.value == pytest.approx(reference.params[place], abs=1e-8)
        assert own.error == pytest.approx(reference.bse[place], abs=1e-8)
        assert (own.lower, own.upper) == pytest.approx(reference.conf_int()[place], abs=1e-7)


def test_a_line_that_has_no_end_is_not_invented() -> None:
    apart = calibration_line(
        score_histogram(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1]))
    )
    assert apart.slope is None
    assert apart.intercept is None
    assert apart.in_the_large is not None
    assert "separate" in apart.why
    touching = score_histogram(np.array([0.1, 0.5, 0.5, 0.9]), np.array([0, 0, 1, 1]))
    assert calibration_line(touching).slope is None
    inverted = score_histogram(np.array([0.8, 0.9, 0.1, 0.2]), np.array([0, 0, 1, 1]))
    assert calibration_line(inverted).slope is None
    same = calibration_line(score_histogram(np.full(4, 0.3), np.array([0, 0, 1, 1])))
    assert same.slope is None
    assert "same score" in same.why
    with pytest.raises(StatisticsError, match="no recalibration"):
        recalibration(touching)


@pytest.mark.parametrize("seed", SEEDS)
def test_after_recalibration_the_same_patients_are_calibrated(seed: int) -> None:
    scores, labels = patients(seed)
    histogram = score_histogram(scores, labels)
    predicted = recalibration(histogram).predicted()
    again = calibration_line(histogram, predicted)
    assert again.slope is not None
    assert again.intercept is not None
    # Not to the last digit: predictions within half a step of 0 or 1 are held there.
    assert again.slope.value == pytest.approx(1.0, abs=1e-6)
    assert again.intercept.value == pytest.approx(0.0, abs=1e-6)
    assert brier_score(histogram, predicted).score <= brier_score(histogram).score


def test_the_identity_recalibrates_nothing() -> None:
    predicted = Recalibration(0.0, 1.0).predicted()
    assert predicted[1:-1] == pytest.approx(np.arange(1, 1000) / 1000, abs=1e-14)
    assert (predicted[0], predicted[-1]) == pytest.approx((EDGE, 1 - EDGE))


def test_an_order_that_is_turned_round_is_not_recalibrated() -> None:
    scores, labels = patients(1)
    with pytest.raises(StatisticsError, match="turn the order"):
        recalibration(score_histogram(scores, 1 - labels))


@pytest.mark.parametrize("seed", SEEDS)
def test_net_benefit_is_its_definition(seed: int) -> None:
    scores, labels = patients(seed)
    thresholds = np.array([0.001, 0.05, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 0.999])
    found = decision_curve(score_histogram(scores, labels), thresholds)
    for place, threshold in enumerate(thresholds):
        true = np.mean((scores >= threshold) & (labels == 1))
        false = np.mean((scores >= threshold) & (labels == 0))
        odds = threshold / (1 - threshold)
        assert found.model[place] == pytest.approx(true - odds * false, abs=1e-14)
        everybody = labels.mean() - odds * (1 - labels.mean())
        assert found.everybody[place] == pytest.approx(everybody, abs=1e-12)
        avoided = (found.model[place] - everybody) / odds
        assert found.avoided[place] == pytest.approx(avoided, abs=1e-11)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_roc_curve_is_scikit_learn_s(seed: int) -> None:
    scores, labels = patients(seed)
    found = roc_curve(score_histogram(scores, labels))
    false, true, thresholds = sklearn_roc(labels, scores, drop_intermediate=False)
    assert found.false_positive == pytest.approx(false, abs=1e-14)
    assert found.sensitivity == pytest.approx(true, abs=1e-14)
    assert found.thresholds[1:] == pytest.approx(thresholds[1:], abs=1e-14)
    low, high = proportion_confint(np.rint(true * labels.sum()), labels.sum(), method="wilson")
    assert found.lower == pytest.approx(low, abs=1e-12)
    assert found.upper == pytest.approx(high, abs=1e-12)


def test_nonsense_is_refused() -> None:
    empty = np.zeros((2, BINS), np.int64)
    one = score_histogram(np.array([0.2, 0.4]), np.array([0, 1]))
    for refused in (
        lambda: brier_score(empty),
        lambda: calibration_groups(empty),
        lambda: calibration_groups(one, 0),
        lambda: decision_curve(empty, np.array([0.5])),
        lambda: decision_curve(one, np.array([0.0])),
        lambda: brier_score(one, np.linspace(1, 0, BINS)),
        lambda: brier_score(one, np.linspace(0, 2, BINS)),
        lambda: brier_score(one, np.zeros(7)),
        lambda: calibration_line(score_histogram(np.array([0.2]), np.array([1]))),
    ):
        with pytest.raises(StatisticsError):
            refused()
