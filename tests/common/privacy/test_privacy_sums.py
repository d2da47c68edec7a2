"""Private sums: the sensitivity that is stated holds for any rows, and the noise fits it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.privacy.secret_noise import SecretNoise, digest_of
from common.privacy.sums import (
    UnboundedRows,
    clipped_scatter,
    clipped_total,
    private_moments,
    private_total,
    repaired,
)
from common.statistics.moments import moments, standardize

SECRET = bytes(range(32))
VALUES = st.floats(-1e3, 1e3, allow_nan=False, width=32)


def noise(number: int = 0) -> SecretNoise:
    return SecretNoise(SECRET, b"sums", digest_of(str(number)))


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    rows, features = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    x = draw(arrays(np.float64, (rows, features), elements=VALUES))
    y = draw(arrays(np.float64, rows, elements=st.sampled_from([0.0, 1.0])))
    weights = draw(arrays(np.float64, rows, elements=st.floats(0.0, 10.0)))
    patient = draw(arrays(np.int64, rows, elements=st.integers(0, 4)))
    return x, y, weights, patient, draw(st.floats(0.01, 100.0))


@settings(deadline=None)
@given(problems())
def test_removing_any_patient_changes_a_total_by_at_most_the_bound(
    problem: tuple[np.ndarray, ...],
) -> None:
    x, _, _, patient, bound = problem
    whole = clipped_total(x, patient, bound)
    for gone in np.unique(patient):
        left = patient != gone
        change = whole - clipped_total(x[left], patient[left], bound)
        assert np.linalg.norm(change) <= bound * (1.0 + 1e-9) + 1e-9


@settings(deadline=None)
@given(problems())
def test_removing_any_patient_changes_moments_by_at_most_the_squared_bound(
    problem: tuple[np.ndarray, ...],
) -> None:
    x, y, weights, patient, bound = problem
    whole = clipped_scatter(x, y, weights, patient, bound)
    for gone in np.unique(patient):
        left = patient != gone
        change = whole - clipped_scatter(x[left], y[left], weights[left], patient[left], bound)
        assert np.linalg.norm(change) <= bound**2 * (1.0 + 1e-9) + 1e-9
        # A patient only ever adds.
        assert np.linalg.eigvalsh(change).min() >= -1e-6 * bound**2


def test_the_bound_is_reached() -> None:
    rows = np.array([[300.0, 400.0], [1e-3, 0.0]])
    patient = np.array([5, 9])
    assert clipped_total(rows, patient, 2.0) == pytest.approx([1.2 + 1e-3, 1.6])
    total = clipped_scatter(rows[:1], np.zeros(1), np.ones(1), patient[:1], 2.0)
    assert np.linalg.norm(total) == pytest.approx(4.0)


def rows_of(patients: int, seed: int = 3) -> tuple[np.ndarray, ...]:
    """Patients with one to four slices; y follows the first of three features."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    x = rng.normal(size=(patient.size, 3))
    y = (x[:, 0] + 0.5 * rng.normal(size=patient.size) > 0).astype(float)
    weights = 1.0 / np.bincount(patient)[patient]
    return x, y, weights, patient


def test_a_wide_bound_clips_nobody() -> None:
    x, y, weights, patient = rows_of(40)
    private = private_moments(x, y, weights, patient, 1e3, 0.0, noise())
    plain = moments(x, y, weights)
    for name, values in plain.arrays().items():
        if name != "count":
            assert private.arrays()[name] == pytest.approx(values, rel=1e-12, abs=1e-12), name
    assert int(private.count) == round(float(plain.weight))


def test_clipping_lowers_weights_and_leaves_values() -> None:
    x, y, weights, patient = rows_of(40)
    clipped = private_moments(x, y, weights, patient, 1.0, 0.0, noise())
    rows = np.column_stack([np.ones(len(x)), x, y])
    norms = np.bincount(patient, weights=weights * np.square(rows).sum(axis=1))
    lowered = weights / np.maximum(norms, 1.0)[patient]
    plain = moments(x, y, lowered)
    assert clipped.xwx == pytest.approx(plain.xwx, rel=1e-12)
    assert clipped.xwy == pytest.approx(plain.xwy, rel=1e-12)


def test_noise_has_the_stated_variance() -> None:
    x, y, weights, patient = rows_of(10)
    exact = private_moments(x, y, weights, patient, 2.0, 0.0, noise())
    drawn = [
        private_moments(x, y, weights, patient, 2.0, 1.5, noise(number)) for number in range(3000)
    ]
    sd = 1.5 * 2.0**2
    off = np.array([one.wx - exact.wx for one in drawn])
    diagonal = np.array([float(one.weight - exact.weight) for one in drawn])
    assert float(off.std()) == pytest.approx(sd / np.sqrt(2.0), rel=0.03)
    assert float(diagonal.std()) == pytest.approx(sd, rel=0.05)
    total = np.array([private_total(x, patient, 2.0, 1.5, noise(n)) for n in range(3000)])
    assert float((total - clipped_total(x, patient, 2.0)).std()) == pytest.approx(3.0, rel=0.03)


def test_repaired_moments_are_moments() -> None:
    x, y, weights, patient = rows_of(12)
    noisy = private_moments(x, y, weights, patient, 3.0, 2.0, noise())
    again = repaired(noisy)
    features = again.wx.size
    full = np.zeros((features + 1, features + 1))
    full[0, 0], full[0, 1:], full[1:, 0] = again.weight, again.wx, again.wx
    rows, columns = np.triu_indices(features)
    full[1 + rows, 1 + columns] = full[1 + columns, 1 + rows] = again.xwx
    assert np.linalg.eigvalsh(full).min() > -1e-9
    plain = private_moments(x, y, weights, patient, 3.0, 0.0, noise())
    for name, values in plain.arrays().items():
        assert repaired(plain).arrays()[name] == pytest.approx(values, rel=1e-9, abs=1e-9)


def test_many_patients_outweigh_the_noise() -> None:
    x, y, weights, patient = rows_of(4000)
    noisy = standardize(repaired(private_moments(x, y, weights, patient, 2.2, 4.0, noise())))
    plain = standardize(moments(x, y, weights))
    assert noisy.target_correlation == pytest.approx(plain.target_correlation, abs=0.05)


@pytest.mark.parametrize("bound", [0.0, -1.0, np.inf, np.nan])
def test_an_impossible_bound_is_refused(bound: float) -> None:
    with pytest.raises(UnboundedRows, match="bound"):
        private_total(np.ones((2, 1)), np.arange(2), bound, 1.0, noise())


def test_rows_without_a_norm_are_refused() -> None:
    with pytest.raises(UnboundedRows, match="finite"):
        private_total(np.array([[np.nan]]), np.arange(1), 1.0, 1.0, noise())
    with pytest.raises(UnboundedRows, match="patients of shape"):
        private_total(np.ones((2, 1)), np.arange(3), 1.0, 1.0, noise())


def test_no_patients_give_noise_only() -> None:
    empty = private_total(np.zeros((0, 4)), np.zeros(0, np.int64), 1.0, 1.0, noise())
    assert empty.shape == (4,)
    assert np.all(empty != 0.0)
