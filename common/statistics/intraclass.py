"""Intra-class correlation of features over two masks of the same slices, from sums.

Site: `pair_sums`. Merge: add. Server: `intraclass`. The analysis of variance is that of slices
nested in sites and crossed with the two masks. What differs from site to site is taken out of the
variance between slices: a feature that tells scanners apart would else look reproducible, and
harmonisation takes just that away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from common.statistics.checks import Array, Floats, Ints, StatisticsError, as_floats
from common.statistics.sums import Sums

MASKS = 2
Form = Literal["agreement", "consistency"]


@dataclass(frozen=True, eq=False)
class PairSums(Sums):
    """What a site sums over its n slices that were measured with both masks, for p features.

    Attributes:
        count: () slices.
        patients: () whose slices they are.
        sites: () 1, or 0 where there is no slice.
        between: (p,) sum of 2 (m - mean of m)^2, where m is the mean of a slice's two values and
            the mean that of the site: n - 1 degrees of freedom.
        difference: (p,) sum of the first value less the second.
        within: (p,) sum of half the squared difference.
    """

    integers: ClassVar[frozenset[str]] = frozenset({"count", "patients", "sites"})

    count: Ints
    patients: Ints
    sites: Ints
    between: Floats
    difference: Floats
    within: Floats


def pair_shapes(features: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of `PairSums` over so many features."""
    counts = dict.fromkeys(("count", "patients", "sites"), ())
    return counts | dict.fromkeys(("between", "difference", "within"), (features,))


def pair_sums(first: Array, second: Array, patient: Array) -> PairSums:
    """Return a site's sums over slices measured with both masks; none at all gives zeros.

    Args:
        first, second: (n, p) features of the same slices by the two masks.
        patient: (n,) whose slice it is.

    Raises:
        StatisticsError: if shapes disagree, or a value is NaN or infinite.
    """
    one, two = as_floats(first, "The features", 2), as_floats(second, "The second features", 2)
    owner = np.asarray(patient)
    if one.shape != two.shape or owner.shape != one.shape[:1]:
        raise StatisticsError(
            f"Features by two masks have the shapes {one.shape} and {two.shape}.",
            "Give the same slices in the same order.",
        )
    middle, difference = (one + two) / MASKS, one - two
    centred = middle - (middle.mean(axis=0) if len(one) else 0.0)
    return PairSums(
        count=np.asarray(len(one), np.int64),
        patients=np.asarray(np.unique(owner).size, np.int64),
        sites=np.asarray(int(len(one) > 0), np.int64),
        between=MASKS * (centred**2).sum(axis=0),
        difference=difference.sum(axis=0),
        within=(difference**2).sum(axis=0) / MASKS,
    )


def intraclass(sums: PairSums, form: Form) -> Floats:
    """Return the intra-class correlation (p,) of a single measurement, for each feature.

    ``agreement`` is ICC(2,1) and ``consistency`` ICC(3,1) of P. E. Shrout & J. L. Fleiss (Psychol
    Bull 1979;86:420-428). The first counts a shift between the masks as disagreement, as a head
    does, which knows nothing of who drew the mask. The second does not: it suits masks that are
    larger or smaller on purpose. A feature that does not vary at all has 0.

    Raises:
        StatisticsError: if there are not two slices more than sites.
    """
    count, sites = int(sums.count), int(sums.sites)
    if count - sites < 2:
        raise StatisticsError(
            f"{count} slices at {sites} sites were measured with two masks.",
            "Give more slices a second mask, or set reduction.minimum_icc to 0.",
        )
    slices = sums.between / (count - sites)
    masks = sums.difference**2 / (MASKS * count)
    error = np.maximum(sums.within - masks, 0.0) / (count - 1)
    bottom = slices + (MASKS - 1) * error
    if form == "agreement":
        bottom = bottom + MASKS * (masks - error) / count
    defined = bottom > 0.0
    return np.where(defined, (slices - error) / np.where(defined, bottom, 1.0), 0.0)
