"""Private sums: the sensitivity that is stated holds for any rows, and the noise fits it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from common.privacy.class_moments import (
    HALF,
    SD,
    bound_of,
    location,
    moved,
    pack,
    private_class_moments,
    ridge_discriminant,
    unpack,
)
from common.privacy.secret_noise import SecretNoise, digest_of
from common.privacy.sums import UnboundedRows, clipped_total, private_total
from common.statistics.checks import StatisticsError

SECRET = bytes(range(32))
VALUES = st.floats(-1e3, 1e3, allow_nan=False, width=32)


def noise(number: int = 0) -> SecretNoise:
    return SecretNoise(SECRET, b"sums", digest_of(str(number)))


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    rows, features = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    x = draw(arrays(np.float64, (rows, features), elements=VALUES))
    patient = draw(arrays(np.int64, rows, elements=st.integers(0, 4)))
    return x, patient, draw(st.floats(0.01, 100.0))


@settings(deadline=None)
@given(problems())
def test_removing_any_patient_changes_a_total_by_at_most_the_bound(
    problem: tuple[np.ndarray, np.ndarray, float],
) -> None:
    x, patient, bound = problem
    whole = clipped_total(x, patient, bound)
    for gone in np.unique(patient):
        left = patient != gone
        change = whole - clipped_total(x[left], patient[left], bound)
        assert np.linalg.norm(change) <= bound * (1.0 + 1e-9) + 1e-9


def test_the_bound_is_reached() -> None:
    x, patient = np.array([[3.0, 4.0], [0.1, 0.0]]), np.array([1, 2])
    total = clipped_total(x, patient, 1.0)
    np.testing.assert_allclose(total, [0.6 + 0.1, 0.8])


def test_noise_has_the_stated_variance() -> None:
    x, patient = np.zeros((4, 50)), np.arange(4)
    found = np.array([private_total(x, patient, 2.0, 1.5, noise(k)) for k in range(200)])
    assert found.std() == pytest.approx(3.0, rel=0.03)
    assert abs(found.mean()) < 0.1


@pytest.mark.parametrize("bound", [0.0, -1.0, np.inf, np.nan])
def test_an_impossible_bound_is_refused(bound: float) -> None:
    with pytest.raises(UnboundedRows):
        private_total(np.ones((2, 2)), np.zeros(2, int), bound, 1.0, noise())


def test_rows_without_a_norm_are_refused() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(UnboundedRows):
            private_total(np.full((2, 2), bad), np.zeros(2, int), 1.0, 1.0, noise())
    with pytest.raises(UnboundedRows):
        private_total(np.ones((2, 2)), np.zeros(3, int), 1.0, 1.0, noise())


# Moments by class.


def cohort(
    patients: int, features: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bounded features of one to three slices a patient, labels and owners of the slices."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, 2, patients)
    patient = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    labels = own[patient]
    mix = np.eye(features) + 0.3 * rng.normal(size=(features, features))
    u = rng.normal(size=(patient.size, features)) @ mix * 0.12 + 0.12 * labels[:, None] - 0.03
    return np.clip(u, -HALF, HALF), labels, patient, own


def by_hand(u: np.ndarray, labels: np.ndarray, patient: np.ndarray) -> np.ndarray:
    found = np.zeros((2, u.shape[1] + 1, u.shape[1] + 1))
    for number in np.unique(patient):
        rows = np.column_stack([np.ones((patient == number).sum()), u[patient == number]])
        found[labels[patient == number][0]] += rows.T @ rows / len(rows)
    return found


def test_without_noise_they_are_the_patients_own() -> None:
    u, labels, patient, _ = cohort(30, 4)
    found = private_class_moments(u, labels, patient, 0.0, noise())
    np.testing.assert_allclose(found, by_hand(u, labels, patient), atol=1e-12)
    np.testing.assert_allclose(unpack(pack(found), 4), found)
    count, mean = location(found)
    assert count == pytest.approx(30)
    slices = np.bincount(patient)[patient]
    np.testing.assert_allclose(mean, (u / slices[:, None]).sum(axis=0) / 30)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 10**6))
def test_removing_any_patient_changes_them_by_at_most_the_bound(
    patients: int, features: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, patients, 12)
    labels = (np.arange(patients) % 2)[patient]
    u = np.clip(rng.normal(0.0, 1.0, (12, features)), -HALF, HALF)
    whole = private_class_moments(u, labels, patient, 0.0, noise())
    for gone in np.unique(patient):
        left = patient != gone
        less = private_class_moments(u[left], labels[left], patient[left], 0.0, noise())
        # An entry and its mirror image are one number; the Frobenius norm counts both.
        assert np.linalg.norm(whole - less) <= bound_of(features) + 1e-9


def test_their_noise_has_the_stated_size() -> None:
    u, labels, patient, _ = cohort(10, 3)
    exact = by_hand(u, labels, patient)
    away = np.array(
        [private_class_moments(u, labels, patient, 2.0, noise(k)) - exact for k in range(400)]
    )
    assert np.allclose(away, away.swapaxes(2, 3))
    diagonal = np.diagonal(away, axis1=2, axis2=3)
    assert diagonal.std() == pytest.approx(2.0 * bound_of(3), rel=0.05)
    assert away[:, :, 0, 1:].std() == pytest.approx(2.0 * bound_of(3) / np.sqrt(2.0), rel=0.05)


def test_moved_moments_are_those_of_moved_features() -> None:
    u, labels, patient, _ = cohort(20, 3)
    shift = np.array([0.1, -0.2, 0.05])
    found = moved(private_class_moments(u, labels, patient, 0.0, noise()), shift)
    np.testing.assert_allclose(found, by_hand((u - shift) / SD, labels, patient), atol=1e-9)


def test_without_noise_the_head_is_the_linear_discriminant_of_balanced_classes() -> None:
    u, _, patient, own = cohort(400, 4)
    first = np.unique(patient, return_index=True)[1]  # one slice a patient: rows are patients
    x, truth = u[first] / SD, own
    exact = private_class_moments(u[first], truth, np.arange(400), 0.0, noise())
    found = ridge_discriminant(moved(exact, np.zeros(4)), 0.0)
    # scikit-learn weighs the covariances of the classes by their priors: even ones, as here.
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5]).fit(x, truth)
    np.testing.assert_allclose(found[1:], reference.coef_[0], rtol=1e-4)
    assert found[0] == pytest.approx(float(reference.intercept_[0]), rel=1e-3, abs=1e-4)


def test_where_noise_rules_the_means_decide() -> None:
    u, labels, patient, _ = cohort(100, 4)
    sums = moved(private_class_moments(u, labels, patient, 0.0, noise()), np.zeros(4))
    found = ridge_discriminant(sums, 1e6)[1:]
    means = sums[:, 0, 1:] / sums[:, :1, 0]
    apart = means[1] - means[0]
    # The nearest centroid, on the scale of unit variances.
    np.testing.assert_allclose(found, apart, rtol=1e-4)


def test_many_patients_outweigh_the_noise() -> None:
    u, labels, patient, _ = cohort(5000, 4)
    exact = ridge_discriminant(moved(by_hand(u, labels, patient), np.zeros(4)), 0.0)
    noisy = private_class_moments(u, labels, patient, 1.0, noise(3))
    sd = bound_of(4) / np.sqrt(2.0) / SD**2
    found = ridge_discriminant(moved(noisy, np.zeros(4)), float(sd))
    cosine = found[1:] @ exact[1:] / np.linalg.norm(found[1:]) / np.linalg.norm(exact[1:])
    assert cosine > 0.9


def test_hardly_any_patients_give_a_finite_head_all_the_same() -> None:
    sums = np.zeros((2, 4, 4))
    sums[1, 0, 0] = -7.0
    assert np.isfinite(ridge_discriminant(sums, 5.0)).all()
    with pytest.raises(StatisticsError, match="not finite"):
        ridge_discriminant(np.full((2, 4, 4), np.nan), 5.0)
