"""Rows are read once, in blocks: what is found in them does not depend on where it stands."""

import numpy as np
import pytest

from harmonization import (
    BatchEffect,
    NotFiniteError,
    Reference,
    combat_sums,
    estimate_batches,
    harmonize,
    residual_sums,
    solve_beta,
    solve_reference,
)
from harmonization.blocks import FIRST, ROWS
from harmonization.rows import all_finite

N = 2 * ROWS + 7
PLACES = [0, FIRST - 1, FIRST, ROWS - 1, ROWS, 2 * ROWS, N - 1]
BATCHES = {"adjoining": ["a"] * N + ["b"] * N, "in turns": ["a", "b"] * N}


def rows(seed=0):
    rng = np.random.default_rng(seed)
    z = np.column_stack([rng.uniform(20, 80, 2 * N), rng.integers(0, 2, 2 * N)])
    return rng.normal(size=(2 * N, 5)) * [1, 2, 3, 1, 1] + 7.0 + z @ rng.normal(size=(2, 5)), z


def fit(x, z, batch):
    return solve_reference(combat_sums(x, z, batch))


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_blocks_give_the_sums_of_all_rows(batch):
    x, z = rows()
    sums = combat_sums(x, z, batch)
    own = [np.array(batch) == name for name in "ab"]
    inner = [(x[rows] - x[rows].mean(axis=0), z[rows] - z[rows].mean(axis=0)) for rows in own]
    np.testing.assert_allclose(sums.sum_x, x.sum(axis=0), rtol=1e-13)
    np.testing.assert_allclose(
        sums.s_xx_diag, sum((a**2).sum(axis=0) for a, _ in inner), rtol=1e-12
    )
    np.testing.assert_allclose(sums.s_zx, sum(b.T @ a for a, b in inner), rtol=1e-10)


def test_order_of_batches_in_the_table_does_not_matter():
    x, z = rows()
    batch = np.array(BATCHES["adjoining"])
    turns = np.arange(2 * N).reshape(2, N).T.ravel()
    reference = fit(x, z, batch)
    effects = estimate_batches(x, z, batch, reference)
    mixed = estimate_batches(x[turns], z[turns], batch[turns], reference)
    for name, effect in effects.items():
        np.testing.assert_allclose(mixed[name].gamma, effect.gamma, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(mixed[name].delta, effect.delta, rtol=1e-9)
    whole = harmonize(x, z, batch, reference, effects)
    found = harmonize(x[turns], z[turns], batch[turns], reference, effects)
    np.testing.assert_allclose(found, whole[turns], rtol=1e-13)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", PLACES)
def test_one_value_that_is_not_finite_is_found_wherever_it_stands(place, value, batch):
    x, z = rows()
    reference, beta = fit(x, z, batch), solve_beta(combat_sums(x, z, batch))
    effects = estimate_batches(x, z, batch, reference)
    untouched = {name: BatchEffect.unchanged(5, N, "identity") for name in "ab"}
    x[place, 3] = value
    for work in (
        lambda: combat_sums(x, z, batch),
        lambda: residual_sums(x, z, batch, beta),
        lambda: estimate_batches(x, z, batch, reference),
        lambda: estimate_batches(x, z, batch, reference, minimum=10**6, below="identity"),
        lambda: harmonize(x, z, batch, reference, effects),
        lambda: harmonize(x, z, batch, reference, untouched),
    ):
        with pytest.raises(NotFiniteError, match=r"^1 values .* in feature 'column 3'"):
            work()


@pytest.mark.filterwarnings("error")
def test_values_that_are_not_finite_are_named_before_other_faults():
    x, z = rows()
    batch = BATCHES["adjoining"]
    reference = fit(x, z, batch)
    x[1, 2], x[2, 2] = np.inf, -np.inf
    wrong = z.copy()
    wrong[0, 0] = np.nan
    for work in (
        lambda: combat_sums(x, wrong, batch),
        lambda: combat_sums(x, z, [None, *batch[1:]]),
        lambda: residual_sums(x, z, batch, np.zeros((1, 1))),
        lambda: estimate_batches(x, z, batch, reference, minimum=10**6),
        lambda: harmonize(x, z, batch, reference, {}),
    ):
        with pytest.raises(NotFiniteError, match=r"^2 values .* in feature 'column 2'"):
            work()


@pytest.mark.filterwarnings("error")
def test_large_values_whose_sums_overflow_are_finite():
    large = np.full((4, 3), 1.7e308)
    assert all_finite(large)
    assert not all_finite(np.vstack([large, [[0.0, np.nan, 0.0]]]))
    x, batch = np.repeat(large, N, axis=0), ["a"] * 4 * N
    x[::2] *= -1.0
    assert np.isinf(combat_sums(x / 1e100, None, batch).s_xx_diag).all()
    effects = {"a": BatchEffect.unchanged(3, 4 * N, "identity")}
    reference = Reference(np.zeros(3), np.zeros((0, 3)), np.ones(3), np.ones(3, bool), 4 * N)
    assert np.array_equal(harmonize(x, None, batch, reference, effects), x)


@pytest.mark.filterwarnings("ignore:overflow")
def test_results_that_overflow_are_refused_as_results():
    x, batch = np.full((3, 2), 1e300), ["a"] * 3
    reference = Reference(np.zeros(2), np.zeros((0, 2)), np.ones(2), np.ones(2, bool), 3)
    effects = {"a": BatchEffect(np.zeros(2), np.array([1.0, 1e-40]), 3, "none")}
    with pytest.raises(NotFiniteError, match=r"^3 values .* harmonized feature 'column 1'"):
        harmonize(x, None, batch, reference, effects)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("level", [0.1, -1e12 / 3, 1e-8 / 3, 1e-200, 1e200, 0.0])
def test_constant_features_are_told_from_one_row_that_differs(level, batch):
    x, z = rows()
    x[:, 1] = x[:, 3] = level
    sums = combat_sums(x, z, batch)
    assert list(np.flatnonzero(sums.s_xx_diag == 0)) == [1, 3]
    assert (sums.s_zx[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(sums.sum_x[1], 2 * N * level, rtol=1e-12)
    if level in (1e-200, 0.0):  # squares of such differences are zero
        return
    for place in PLACES:
        x[:, 3] = level
        x[place, 3] *= 1 + 5e-12
        sums = combat_sums(x, z, batch)
        assert list(np.flatnonzero(sums.s_xx_diag == 0)) == [1], place
        x[place, 3] = level * (1 + 5e-13)
        assert list(np.flatnonzero(combat_sums(x, z, batch).s_xx_diag == 0)) == [1, 3]


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_features_without_variance_in_one_batch_keep_their_scale(batch):
    x, _ = rows()
    own = np.array(batch) == "a"
    x[own, 1], x[own, 3] = 1e6, 1e6 + 1e-3 * x[own, 3]
    reference = solve_reference(combat_sums(x, None, batch))
    effects = estimate_batches(x, None, batch, reference, "none")
    assert list(np.flatnonzero(effects["a"].delta == 1)) == [1]
    assert (effects["b"].delta != 1).all()


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_features_that_are_not_kept_come_back_with_the_sign_of_zero(batch):
    x, z = rows()
    x[:, 2] = -0.0
    reference = fit(x, z, batch)
    out = harmonize(x, z, batch, reference, estimate_batches(x, z, batch, reference))
    assert list(np.flatnonzero(~reference.keep)) == [2]
    assert np.signbit(out[:, 2]).all()
    assert (out[:, 0] != x[:, 0]).any()


def test_labels_are_compared_as_text_whatever_their_type():
    x, _ = rows()
    names = [" 1", 1, np.int64(1), np.str_("1 "), 1.0, True]
    reference = solve_reference(combat_sums(x, None, BATCHES["adjoining"]))
    effects = estimate_batches(x[:6], None, names, reference, "mean_only", minimum=1)
    assert {name: effect.rows for name, effect in effects.items()} == {"1": 4, "1.0": 1, "True": 1}
