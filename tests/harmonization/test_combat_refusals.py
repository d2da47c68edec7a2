"""What is refused, and that the message names the batch or column and the way out."""

import numpy as np
import pytest
from combat_problems import SPEC, problem

from harmonization import (
    BatchError,
    CollinearError,
    CombatSums,
    NotFiniteError,
    ShapeError,
    SolveError,
    combat_sums,
    estimate_batches,
    harmonize,
    residual_sums,
    solve_beta,
    solve_reference,
)


def fit(q, **options):
    return solve_reference(combat_sums(q.x, q.z, q.batch), names=SPEC.names, **options)


def test_minimum_size_is_the_callers():
    q = problem((6, 5), rows=(10, 20))
    reference = fit(q)
    with pytest.raises(BatchError, match="at least 100"):
        estimate_batches(q.x, q.z, q.batch, reference, minimum=100)
    effects = estimate_batches(q.x, q.z, q.batch, reference, minimum=100, below="identity")
    assert {e.mode for e in effects.values()} == {"identity"}
    one = estimate_batches(q.x[:1], q.z[:1], ["new"], reference, "mean_only", minimum=1)
    assert one["new"].mode == "mean_only"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_by_name(value):
    q = problem((9, 0))
    reference = fit(q)
    q.x[3, 1] = q.x[5, 1] = value
    names = [f"f{k}" for k in range(q.x.shape[1])]
    with pytest.raises(NotFiniteError, match=r"2 values .* 'f1'"):
        combat_sums(q.x, q.z, q.batch, features=names)
    with pytest.raises(NotFiniteError, match="'column 1'"):
        estimate_batches(q.x, q.z, q.batch, reference)
    with pytest.raises(NotFiniteError):
        harmonize(q.x, q.z, q.batch, reference, {})
    with pytest.raises(NotFiniteError, match="covariate 'age'"):
        combat_sums(np.ones((2, 1)), [[value], [1.0]], ["a", "a"], names=["age"])


def test_collinear_covariates_are_named():
    q = problem((10, 0))
    names = (*SPEC.names, "extra")
    double = np.column_stack([q.z, 2 * q.z[:, 0] - q.z[:, 2]])
    with pytest.raises(CollinearError, match=r"'extra' is a combination of 'age', 'sex=M'"):
        solve_beta(combat_sums(q.x, double, q.batch), names)
    site = np.column_stack([q.z, (q.batch == q.batch[0]) * 0.1])
    with pytest.raises(CollinearError, match="'extra' is the same in all rows"):
        solve_reference(combat_sums(q.x, site, q.batch), names=names)
    with pytest.raises(CollinearError, match="column 5"):
        solve_beta(combat_sums(q.x, site, q.batch))


def test_saturated_fit_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(SolveError, match="explain every feature"):
        solve_reference(combat_sums(rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), list("aaab")))


def test_reference_batch_must_exist():
    q = problem((11, 0))
    sums = combat_sums(q.x, q.z, q.batch, reference_batch="nowhere")
    with pytest.raises(SolveError, match="No site holds the reference batch 'nowhere'"):
        solve_reference(sums, reference_batch="nowhere")
    with pytest.raises(SolveError, match="carry nothing"):
        solve_reference(combat_sums(q.x, q.z, q.batch), reference_batch=q.batch[0])
    with pytest.raises(ShapeError, match="reference batch"):
        sums + combat_sums(q.x, q.z, q.batch)


def test_shapes_that_do_not_fit_are_refused():
    q = problem((16, 0))
    reference, sums = fit(q), combat_sums(q.x, q.z, q.batch)
    effects = estimate_batches(q.x, q.z, q.batch, reference)
    with pytest.raises(ShapeError, match="Use the same features"):
        sums + combat_sums(q.x[:, 1:], q.z, q.batch)
    with pytest.raises(ShapeError, match="batch labels"):
        combat_sums(q.x, q.z, q.batch[1:])
    with pytest.raises(ShapeError, match="the reference has"):
        harmonize(q.x[:, 1:], q.z, q.batch, reference, effects)
    with pytest.raises(ShapeError, match="need"):
        residual_sums(q.x, q.z, q.batch, np.zeros((1, 1)))
    with pytest.raises(ShapeError, match="no 's_zx'"):
        CombatSums.from_arrays({k: a for k, a in sums.arrays().items() if k != "s_zx"})
    with pytest.raises(ShapeError, match="do not fit"):
        CombatSums.from_arrays({**sums.arrays(), "sum_x": np.zeros(99)})
    with pytest.raises(BatchError, match="no batch label"):
        combat_sums(q.x, q.z, [None, *q.batch[1:]])
    with pytest.raises(BatchError, match="not a known mode"):
        estimate_batches(q.x, q.z, q.batch, reference, "magic")


def test_one_feature_has_no_prior():
    q = problem((17, 0))
    reference = solve_reference(combat_sums(q.x[:, :1], q.z, q.batch))
    with pytest.raises(BatchError, match="one feature"):
        estimate_batches(q.x[:, :1], q.z, q.batch, reference)
    effects = estimate_batches(q.x[:, :1], q.z, q.batch, reference, "none")
    assert np.isfinite(harmonize(q.x[:, :1], q.z, q.batch, reference, effects)).all()
