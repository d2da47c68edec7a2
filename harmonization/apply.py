"""Taking the batch effects out of rows, new or old, with frozen parameters."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harmonization.arrays import Floats, with_ones
from harmonization.blocks import blocks, place_of, tiled
from harmonization.effect import BatchEffect
from harmonization.errors import BatchError, ShapeError, named
from harmonization.estimate import check_fit
from harmonization.reference import Reference
from harmonization.rows import Rows, all_finite, check_finite, checked_rows


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
    with checked_rows(x, z, batch, features=features, names=names) as rows:
        known = {str(name): effect for name, effect in effects.items()}
        unknown = [name for name in rows.groups if name not in known]
        if unknown:
            raise BatchError(
                f"No effect was estimated for batch {named(unknown)}.",
                "Run estimate_batches on rows of that batch first.",
            )
        size = reference.keep.size
        out, finite = np.empty(rows.x.shape), True
        for name, own in rows.groups.items():
            effect = known[name]
            if effect.gamma.size != size:
                raise ShapeError(
                    f"The effect of batch '{name}' has {effect.gamma.size} features; the reference "
                    f"has {size}.",
                    "Estimate the effect again with this reference.",
                )
            if effect.applied:
                finite &= _write(out, rows, own, reference, effect)
            else:
                place = place_of(own)
                out[place] = rows.x[place]
                finite &= all_finite(out[place])
        if not finite:
            check_finite(out, "harmonized feature", features)
        return out


def _write(
    out: Floats, rows: Rows, own: NDArray[np.intp], reference: Reference, effect: BatchEffect
) -> bool:
    """Write a batch's harmonized rows into ``out``; say whether all that was computed is finite.

    The residual becomes ``(x - alpha - z beta - gamma sigma) scale``, and what was taken off is
    added again: so x is scaled, and gets a line in z.
    """
    check_fit(rows.x, rows.z, reference)
    scale = 1.0 / np.sqrt(effect.delta)
    shift = reference.alpha * (1.0 - scale) - effect.gamma * reference.sigma * scale
    line = np.vstack([shift, reference.beta * (1.0 - scale)])
    design = with_ones(rows.z[place_of(own)])
    factor, finite = tiled(scale, len(own)), True
    for place, within in blocks(own):
        added = design[within] @ line
        done = out[place]  # a view where the rows adjoin
        np.multiply(rows.x[place], factor[: len(done)], out=done)
        done += added
        finite &= all_finite(done)
        if not isinstance(place, slice):
            out[place] = done
    dropped = np.ix_(own, np.flatnonzero(~reference.keep))
    out[dropped] = rows.x[dropped]
    return finite
