"""What must hold whatever the data: order, constants, small batches, frozen parameters."""

import doctest
import json

import numpy as np
import pytest
from combat_problems import SPEC, distributed, naive, problem, worst
from hypothesis import given, settings
from hypothesis import strategies as st

import harmonization
from harmonization import (
    BatchEffect,
    BatchError,
    CollinearError,
    CombatSums,
    Reference,
    ResidualSums,
    ShapeError,
    SolveError,
    combat_sums,
    estimate_batches,
    harmonize,
    residual_sums,
    solve_beta,
    solve_reference,
)

seeds = st.integers(0, 10**6)


def fit(q, **options):
    return solve_reference(combat_sums(q.x, q.z, q.batch), names=SPEC.names, **options)


def clean(q, mode="parametric", **options):
    reference = fit(q)
    effects = estimate_batches(q.x, q.z, q.batch, reference, mode, **options)
    return harmonize(q.x, q.z, q.batch, reference, effects)


def test_docstring_examples_run():
    for module in (harmonization, harmonization.errors, harmonization.covariates):
        found = doctest.testmod(module)
        assert found.failed == 0
        assert found.attempted


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seeds, st.randoms(use_true_random=False))
def test_order_of_sites_and_rows_does_not_matter(seed, random):
    q = problem((1, seed))
    sites = list(np.unique(q.site))
    parts = {
        s: combat_sums(q.x[q.site == s], q.z[q.site == s], q.batch[q.site == s]) for s in sites
    }
    random.shuffle(sites)
    total = parts[sites[0]]
    for s in sites[1:]:
        total = total + parts[s]
    one, other = fit(q), solve_reference(total)
    np.testing.assert_allclose(other.sigma, one.sigma, rtol=1e-10)
    np.testing.assert_allclose(other.beta, one.beta, rtol=1e-8, atol=1e-10 * one.sigma.max())
    rows = np.random.default_rng(seed).permutation(len(q.x))
    effects = estimate_batches(q.x[rows], q.z[rows], q.batch[rows], other)
    assert worst(harmonize(q.x, q.z, q.batch, other, effects), clean(q), q.x) < 1e-10


def test_scanners_in_a_site_are_batches_but_a_batch_cannot_be_halved():
    q = problem((2, 0), rows=(12, 30))
    whole = combat_sums(q.x, q.z, q.batch)
    by_batch = [q.batch == name for name in np.unique(q.batch)]
    parts = [combat_sums(q.x[r], q.z[r], q.batch[r]) for r in by_batch]
    np.testing.assert_allclose(sum(p.s_xx_diag for p in parts), whole.s_xx_diag, rtol=1e-12)
    half = np.arange(len(q.x)) % 2 == 0
    halves = [combat_sums(q.x[r], q.z[r], q.batch[r]) for r in (half, ~half)]
    lost = (halves[0] + halves[1]).s_xx_diag / whole.s_xx_diag
    assert (lost < 1 - 1e-3).all()  # why a batch must live at one site


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_shift_and_scale_of_a_feature_pass_through(seed):
    q = problem((3, seed))
    factor = 2.0 ** np.random.default_rng(seed).integers(-60, 60, q.x.shape[1])
    before = clean(q)
    q.x = q.x * factor
    np.testing.assert_allclose(clean(q), before * factor, rtol=1e-9, atol=1e-9 * factor.min())


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e12])
def test_large_means_and_extreme_units(size):
    q = problem((4, 1))
    expected = clean(q)
    unit = q.x.std(axis=0)
    q.x = (q.x / unit + 1e4) * size  # mean 10,000 times the spread
    found = clean(q) / size - 1e4
    assert (np.abs(found - expected / unit).max() < 1e-8).all()


@pytest.mark.parametrize("level", [0.1, 1e12 / 3, 1e-8 / 3, 0.0])
def test_constant_features_come_back_bit_for_bit(level):
    q = problem((5, 2))
    expected = clean(q)
    everywhere = np.full(len(q.x), level)
    by_batch = np.unique(q.batch, return_inverse=True)[1] * 5.1 * (level or 1) - 7.7 * level
    rounding = everywhere * (1 + np.random.default_rng(0).normal(size=len(q.x)) * 1e-15)
    q.x = np.column_stack([everywhere, q.x, by_batch, rounding])
    reference = fit(q)
    assert list(np.flatnonzero(~reference.keep)) == [0, q.x.shape[1] - 2, q.x.shape[1] - 1]
    assert (reference.sigma[~reference.keep] == 1).all()
    out = clean(q)
    assert np.array_equal(out[:, ~reference.keep], q.x[:, ~reference.keep])
    np.testing.assert_allclose(out[:, reference.keep], expected, rtol=1e-12)


def test_small_real_variation_is_not_taken_for_a_constant():
    q = problem((5, 3))
    q.x[:, 0] = 1e6 + 1e-3 * q.x[:, 0] / q.x[:, 0].std()
    assert fit(q).keep.all()
    q.x[:, 1] = q.z @ np.arange(1.0, 6.0)  # nothing left once covariates are accounted for
    assert list(np.flatnonzero(~fit(q).keep)) == [1]


@pytest.mark.parametrize("mode", ["parametric", "nonparametric", "none"])
def test_single_row_batch(mode):
    q = problem((6, 4))
    q.batch = q.batch.copy()
    q.batch[7] = "alone"
    reference = fit(q)
    with pytest.raises(BatchError, match="'alone' has 1 rows"):
        estimate_batches(q.x, q.z, q.batch, reference, mode)
    effects = estimate_batches(q.x, q.z, q.batch, reference, mode, below="mean_only")
    assert effects["alone"].mode == "mean_only"
    assert (effects["alone"].delta == 1).all()
    out = harmonize(q.x, q.z, q.batch, reference, effects)
    assert np.isfinite(out).all()
    others = q.batch != "alone"
    # the naive fit has NaN for that one batch only
    assert worst(out[others], naive(q, mode)[others], q.x) < 1e-9
    effects = estimate_batches(q.x, q.z, q.batch, reference, mode, below="identity")
    assert not effects["alone"].applied
    out = harmonize(q.x, q.z, q.batch, reference, effects)
    assert np.array_equal(out[~others], q.x[~others])


@pytest.mark.parametrize("mode", harmonization.MODES)
def test_feature_without_variance_in_one_batch(mode):
    q = problem((7, 6))
    q.z = q.z[:, :0]
    rows = q.batch == q.batch[0]
    q.x[rows, 0] = q.x[rows, 0][0]
    reference = solve_reference(combat_sums(q.x, None, q.batch))
    effect = estimate_batches(q.x, None, q.batch, reference, mode)[q.batch[0]]
    assert reference.keep.all()
    assert effect.delta[0] == 1
    out = harmonize(q.x[rows], None, q.batch[rows], reference, {q.batch[0]: effect})
    assert np.isfinite(out).all()
    assert np.ptp(out[:, 0]) == 0  # moved together, not stretched


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seeds, st.sampled_from(harmonization.MODES))
def test_never_a_silent_nan_with_tiny_batches(seed, mode):
    q = problem((8, seed), features=(3, 6), rows=(1, 5), sites=(4, 6))
    try:
        out = clean(q, mode, below="mean_only")
    except (CollinearError, SolveError):
        return
    assert np.isfinite(out).all()


def test_equal_features_and_equal_rows_give_no_nan():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(40, 1)), 5, axis=1)
    batch = ["a"] * 20 + ["b"] * 20
    reference = solve_reference(combat_sums(x, None, batch))
    for mode in ("parametric", "nonparametric", "mean_only", "none"):
        effects = estimate_batches(x, None, batch, reference, mode)
        assert np.isfinite(harmonize(x, None, batch, reference, effects)).all()
    same = np.repeat(rng.normal(size=(1, 5)), 6, axis=0)
    for mode in ("parametric", "nonparametric", "none"):
        assert (estimate_batches(same, None, ["c"] * 6, reference, mode)["c"].delta == 1).all()


def test_large_batches_do_not_underflow_the_nonparametric_likelihood():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 6)) * [1, 1, 2, 1, 1, 1] + rng.normal(size=6) * 3
    batch = ["a"] * 2900 + ["b"] * 100
    reference = solve_reference(combat_sums(x, None, batch))
    shifted = x + 40.0
    assert np.isfinite(
        estimate_batches(shifted, None, batch, reference, "nonparametric")["a"].gamma
    ).all()


def test_reference_batch_in_the_second_round_only():
    q = problem((11, 1))
    name = q.batch[0]
    sums = combat_sums(q.x, q.z, q.batch)
    second = residual_sums(q.x, q.z, q.batch, solve_beta(sums), reference_batch=name)
    less = solve_reference(sums, second, reference_batch=name)
    more = solve_reference(
        combat_sums(q.x, q.z, q.batch, reference_batch=name), reference_batch=name
    )
    np.testing.assert_allclose(less.sigma, more.sigma, rtol=1e-10)
    np.testing.assert_allclose(less.alpha, more.alpha, rtol=1e-8)


def test_external_site_changes_nothing_but_itself():
    q = problem((12, 0), sites=(4, 6), rows=(15, 30))
    outside = q.site == 0
    inside = ~outside
    sums = combat_sums(q.x[inside], q.z[inside], q.batch[inside])
    reference = solve_reference(sums)
    before = {k: a.copy() for k, a in reference.arrays().items()}
    alone = estimate_batches(q.x[outside], q.z[outside], q.batch[outside], reference)
    shifted = q.x[outside] * 1.7 + 3 * reference.sigma
    moved = estimate_batches(shifted, q.z[outside], q.batch[outside], reference)
    assert all(np.array_equal(a, before[k]) for k, a in reference.arrays().items())
    for name, effect in alone.items():
        assert effect.applied
        assert not np.allclose(effect.gamma, moved[name].gamma)
    for array in (reference.alpha, reference.beta, reference.sigma, effect.gamma, effect.delta):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_frozen_effects_apply_to_new_rows_one_by_one():
    q = problem((13, 0))
    reference = fit(q)
    effects = estimate_batches(q.x, q.z, q.batch, reference)
    whole = harmonize(q.x, q.z, q.batch, reference, effects)
    for row in range(5):
        one = harmonize(q.x[[row]], q.z[[row]], q.batch[[row]], reference, effects)
        np.testing.assert_allclose(one[0], whole[row], rtol=1e-12)
    with pytest.raises(BatchError, match="'elsewhere'"):
        harmonize(q.x[:1], q.z[:1], ["elsewhere"], reference, effects)


def test_everything_goes_through_arrays_and_back(tmp_path):
    q = problem((14, 0))
    name = str(q.batch[0])
    sums = combat_sums(q.x, q.z, q.batch, reference_batch=name)
    second = residual_sums(q.x, q.z, q.batch, solve_beta(sums), reference_batch=name)
    reference = solve_reference(sums, second, reference_batch=name)
    effect = estimate_batches(q.x, q.z, q.batch, reference)[str(q.batch[1])]
    for k, thing in enumerate((sums, second, reference, effect)):
        np.savez(tmp_path / f"{k}.npz", **thing.arrays())
        with np.load(tmp_path / f"{k}.npz", allow_pickle=False) as stored:
            back = type(thing).from_arrays(dict(stored))
        for key, value in thing.arrays().items():
            assert np.array_equal(value, back.arrays()[key]), key
    doubled = {key: value * 2 for key, value in sums.arrays().items()}
    assert CombatSums.from_arrays(doubled).count == (sums + sums).count
    assert (
        ResidualSums.from_arrays({k: a * 2 for k, a in second.arrays().items()}).count
        == (second + second).count
    )
    assert set(json.loads(json.dumps(sorted(sums.arrays())))) == {
        f"{block}{field}"
        for block in ("", "reference.")
        for field in ("count", "sum_x", "sum_z", "s_zz", "s_zx", "s_xx_diag")
    }
    assert Reference.from_arrays(reference.arrays()).batch == name
    assert BatchEffect.from_arrays(effect.arrays()).mode == "parametric"


def test_scaled_sums_lose_nothing():
    q = problem((15, 0))
    sums = combat_sums(q.x, q.z, q.batch, reference_batch=q.batch[0])
    scale = 2.0 ** np.round(np.log2(q.x.std(axis=0)))
    there = sums.scaled(scale)
    direct = combat_sums(q.x / scale, q.z, q.batch, reference_batch=q.batch[0])
    for key, value in there.arrays().items():
        assert np.array_equal(value, direct.arrays()[key]), key
    for key, value in there.scaled(1 / scale).arrays().items():
        assert np.array_equal(value, sums.arrays()[key]), key
    with pytest.raises(ShapeError, match="positive"):
        sums.scaled(0 * scale)


def test_batches_end_up_alike_and_covariates_survive():
    q = problem((18, 0), sites=(4, 4), rows=(60, 90))
    out, reference = distributed(q, "none")
    again = solve_reference(combat_sums(out, q.z, q.batch))
    np.testing.assert_allclose(again.beta / again.sigma, reference.beta / reference.sigma, atol=0.3)
    s = harmonization.standardize(out, q.z, reference)
    for name in np.unique(q.batch):
        np.testing.assert_allclose(s[q.batch == name].mean(axis=0), 0, atol=1e-10)
        np.testing.assert_allclose(s[q.batch == name].std(axis=0, ddof=1), 1, rtol=1e-10)
