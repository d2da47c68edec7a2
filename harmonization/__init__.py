"""Distributed ComBat: the pooled harmonization, computed from sums.

Sites send sums, the server solves a reference, each site estimates and removes the effects of
its own batches. NumPy only, and usable without the rest of MyoFed.

>>> import numpy as np
>>> from harmonization import combat_sums, estimate_batches, harmonize, solve_reference
>>> rng = np.random.default_rng(0)
>>> age = rng.uniform(30, 80, size=(2, 40, 1))                       # two sites, 40 rows each
>>> x = 0.1 * age + rng.normal(size=(2, 40, 6)) + np.array([0.0, 5.0])[:, None, None]
>>> sums = combat_sums(x[0], age[0], ["A"] * 40) + combat_sums(x[1], age[1], ["B"] * 40)
>>> reference = solve_reference(sums, names=["age"])                 # at the server
>>> effects = estimate_batches(x[1], age[1], ["B"] * 40, reference)  # at site B, stays there
>>> clean = harmonize(x[1], age[1], ["B"] * 40, reference, effects)
>>> bool((x[1].mean() - clean.mean()) > 2), clean.shape
(True, (40, 6))
"""

from harmonization.apply import harmonize
from harmonization.covariates import CovariateSpec, DesignRows, design_matrix
from harmonization.effect import MODES, BatchEffect, Mode
from harmonization.errors import (
    BatchError,
    CollinearError,
    ConvergenceError,
    CovariateError,
    HarmonizationError,
    NotFiniteError,
    ShapeError,
    SolveError,
)
from harmonization.estimate import Below, estimate_batches, estimate_from_moments, standardize
from harmonization.means import CovariateSums, covariate_sums, solve_means
from harmonization.reference import Reference, solve_beta, solve_reference
from harmonization.residuals import ResidualSums, residual_sums
from harmonization.sums import CombatSums, combat_shapes, combat_sums

__all__ = [
    "MODES",
    "BatchEffect",
    "BatchError",
    "Below",
    "CollinearError",
    "CombatSums",
    "ConvergenceError",
    "CovariateError",
    "CovariateSpec",
    "CovariateSums",
    "DesignRows",
    "HarmonizationError",
    "Mode",
    "NotFiniteError",
    "Reference",
    "ResidualSums",
    "ShapeError",
    "SolveError",
    "combat_shapes",
    "combat_sums",
    "covariate_sums",
    "design_matrix",
    "estimate_batches",
    "estimate_from_moments",
    "harmonize",
    "residual_sums",
    "solve_beta",
    "solve_means",
    "solve_reference",
    "standardize",
]
