"""Features of the neighbouring grey tone difference matrix (Amadasun and King, IEEE SMC 1989)."""

# mypy: allow-untyped-calls
from __future__ import annotations

import numpy as np

from client.imaging.boxed.cooccurrence import NEIGHBOURS
from client.imaging.boxed.grey_levels import GreyLevels

COARSEST = np.float64(1e6)
"""PyRadiomics' coarseness of an image without any difference."""


def grey_tones(grey: GreyLevels) -> dict[str, np.float64]:
    """Return PyRadiomics' 5 features by name; not a number where no two pixels touch."""
    from radiomics import cMatrices

    matrix = cMatrices.calculate_ngtdm(grey.binned, grey.mask, NEIGHBOURS, grey.highest, True, 0)[
        0
    ]  # (highest, 3): pixels with a neighbour, their differences, the grey level
    pixels, differences, level = matrix[matrix[:, 0] > 0].T
    total, kinds, difference = pixels.sum(), len(pixels), differences.sum()
    share = pixels / total
    weighted = share * differences
    coarse = weighted.sum()
    apart = np.abs(level[:, None] - level)
    apart2 = apart * apart
    both = share[:, None] + share
    contrast = (share @ apart2 @ share) * difference / total
    busy = np.abs((level * share)[:, None] - level * share).sum()
    return {
        "Busyness": coarse / busy if busy else np.float64(0),
        "Coarseness": 1 / coarse if coarse else COARSEST,
        "Complexity": (apart * (weighted[:, None] + weighted) / both).sum() / total,
        "Contrast": contrast / (kinds * (kinds - 1)) if kinds > 1 else contrast,
        "Strength": (both * apart2).sum() / difference if difference else np.float64(0),
    }
