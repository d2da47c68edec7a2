"""Grey levels of the myocardium in bins, found once for all classes of features."""

# mypy: allow-untyped-calls
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from client.imaging.boxed.box import Floats, Mask

EPSILON = float(np.spacing(1))
"""What PyRadiomics adds inside logarithms and divisions, about 2.2e-16."""


@dataclass(frozen=True, eq=False)
class GreyLevels:
    """An image in bins, in the box around the myocardium of N pixels.

    `values` (N,) intensities; `binned` (1, height, width) bin of each pixel from 1, 0 outside;
    `mask` (1, height, width); `highest`: the highest bin; `present` (n,) the bins that occur, in
    order; `counts` (n,) their pixels.
    """

    values: Floats
    binned: npt.NDArray[np.int64]
    mask: Mask
    highest: int
    present: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


def grey_levels(image: Floats, mask: Mask, bin_width: float) -> GreyLevels:
    """Bin the myocardium of `image` (height, width) at `mask`, by PyRadiomics' own bin edges."""
    from radiomics import imageoperations

    values = image[mask]  # ITK's gradient has 32 bits, and is binned so
    ends = np.array([values.min(), values.max()])  # all that the edges depend on
    edges = imageoperations.getBinEdges(ends, binWidth=bin_width)
    bins = np.searchsorted(edges, values, side="right")  # what `digitize` does after its checks
    binned = np.zeros((1, *mask.shape), dtype=np.int64)
    binned[0, mask] = bins
    histogram = np.bincount(bins)
    present = np.flatnonzero(histogram)
    return GreyLevels(
        values=values.astype(np.float64),
        binned=binned,
        mask=mask[None],
        highest=int(present[-1]),
        present=present,
        counts=histogram[present],
    )


def entropy(shares: Floats) -> np.float64:
    """Entropy in bits of shares that sum to 1, of any shape, as PyRadiomics takes it."""
    total: np.float64 = -(shares * np.log2(shares + EPSILON)).sum()
    return total
