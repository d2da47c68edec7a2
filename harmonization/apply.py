"""Taking the batch effects out of rows, new or old, with frozen parameters."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harmonization.arrays import Floats
from harmonization.blocks import blocks
from harmonization.effect import BatchEffect
from harmonization.errors import BatchError, ShapeError, named
from harmonization.estimate import residuals
from harmonization.reference import Reference
from harmonization.rows import check_finite, check_rows


def harmonize(
    x: ArrayLike,
    z: ArrayLike | None,
    batch: Sequence[object] | NDArray[np.generic],
    reference: Reference,
    effects: Mapping[str, BatchEffect],
    *,
    features: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> Floats:
    """Harmonize rows: ``(s - gamma*) / sqrt(delta*) sigma + alpha + z beta``.

    Nothing is estimated here, so validation rows pass through with what the training rows gave.

    Parameters
    ----------
    x : (n, p) array
        Features, in their units.
    z : (n, q) array or None
        Covariate design of the same rows.
    batch : n labels
        Site or scanner of every row.
    reference : Reference
        From ``solve_reference``.
    effects : mapping of str to BatchEffect
        From ``estimate_batches``; may hold more batches than the rows have.
    features, names : sequence of str, optional
        Names of the columns of x and z, for messages.

    Returns
    -------
    (n, p) float64
        A new array in the units of x. Features with keep False, and batches whose effect is
        "identity" or "reference", come back bit for bit.

    Raises
    ------
    BatchError
        Rows are of a batch that has no effect; the message names it.
    ShapeError
        Rows, reference and effects are not of the same features and covariates.
    NotFiniteError
        A value is NaN or infinite, in x, in z or in the result.

    References
    ----------
    Johnson, Li & Rabinovic 2007, Biostatistics 8:118; Fortin et al. 2018, NeuroImage 167:104.
    """
    rows = check_rows(x, z, batch, features=features, names=names)
    known = {str(name): effect for name, effect in effects.items()}
    unknown = [name for name in rows.groups if name not in known]
    if unknown:
        raise BatchError(
            f"No effect was estimated for batch {named(unknown)}.",
            "Run estimate_batches on rows of that batch first.",
        )
    keep = reference.keep
    out = rows.x.copy()
    for name, own in rows.groups.items():
        effect = known[name]
        if effect.gamma.shape != keep.shape:
            raise ShapeError(
                f"The effect of batch '{name}' has {effect.gamma.size} features; the reference "
                f"has {keep.size}.",
                "Estimate the effect again with this reference.",
            )
        if not effect.applied:
            continue
        # Residual r becomes (r - gamma sigma) / sqrt(delta): x changes by the difference.
        scale = 1.0 / np.sqrt(effect.delta[keep])
        shift = effect.gamma[keep] * reference.sigma[keep] * scale
        for place, within in blocks(own):
            change = residuals(rows.x[place], rows.z[place], reference)
            change *= scale - 1.0
            change -= shift
            if keep.all():
                out[place] += change
            else:
                out[np.ix_(own[within], keep)] += change
    check_finite(out, "harmonized feature", features)
    return out
