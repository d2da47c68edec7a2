"""Features of the matrices that count grey levels by a size: of runs, zones and dependences.

The three matrices of PyRadiomics have the same features under different names: runs along a line
(Galloway 1975), connected zones (Thibault 2009), and neighbours of equal grey level (Sun 1983).
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from typing import Final

import numpy as np

from client.imaging.boxed.box import Floats
from client.imaging.boxed.cooccurrence import NEIGHBOURS
from client.imaging.boxed.grey_levels import GreyLevels, entropy

RUNS: Final = {
    "small": "ShortRun", "large": "LongRun", "grey": "Run", "size": "RunLength", "unit": "Run",
}  # fmt: skip
ZONES: Final = {
    "small": "SmallArea", "large": "LargeArea", "grey": "Zone", "size": "SizeZone", "unit": "Zone",
}  # fmt: skip
DEPENDENCES: Final = {
    "small": "SmallDependence", "large": "LargeDependence", "grey": "", "size": "Dependence",
    "unit": "Dependence",
}  # fmt: skip
"""PyRadiomics' words of each matrix, from which the names of its features are made."""


def run_lengths(grey: GreyLevels) -> dict[str, np.float64]:
    """Return PyRadiomics' 16 features of the run length matrix, summed over four directions."""
    from radiomics import cMatrices

    longest = max(grey.mask.shape)
    counts, _ = cMatrices.calculate_glrlm(
        grey.binned, grey.mask, grey.highest, longest, True, 0
    )  # (1, highest, longest, directions)
    return of_sizes(counts[0].sum(axis=2), grey, RUNS)


def size_zones(grey: GreyLevels) -> dict[str, np.float64]:
    """Return PyRadiomics' 16 features of the size zone matrix."""
    from radiomics import cMatrices

    counts = cMatrices.calculate_glszm(
        grey.binned, grey.mask, grey.highest, grey.values.size, True, 0
    )  # (1, highest, largest zone)
    return of_sizes(counts[0], grey, ZONES)


def dependences(grey: GreyLevels) -> dict[str, np.float64]:
    """Return PyRadiomics' 14 features of the dependence matrix, and two that it leaves out."""
    from radiomics import cMatrices

    counts = cMatrices.calculate_gldm(
        grey.binned, grey.mask, NEIGHBOURS, grey.highest, 0, True, 0
    )  # (1, highest, neighbours + 1)
    return of_sizes(counts[0], grey, DEPENDENCES)


def of_sizes(counts: Floats, grey: GreyLevels, words: dict[str, str]) -> dict[str, np.float64]:
    """Return the features of `counts` (highest grey level, largest size), named by `words`."""
    by_size = counts.sum(axis=0)
    occur = np.flatnonzero(by_size)
    counts = counts[np.ix_(grey.present - 1, occur)]
    by_size, by_grey = by_size[occur], counts.sum(axis=1)
    i, j = grey.present.astype(np.float64), occur + 1.0
    total = by_size.sum()
    high, large = i * i, j * j
    low, small = 1 / high, 1 / large
    of_small, of_large = counts @ small / total, counts @ large / total
    mean_i, mean_j = (by_grey * i).sum() / total, (by_size * j).sum() / total
    evenness_i, evenness_j = (by_grey * by_grey).sum(), (by_size * by_size).sum()
    unit, small_size, large_size = words["unit"], words["small"], words["large"]
    return {
        "GrayLevelNonUniformity": evenness_i / total,
        "GrayLevelNonUniformityNormalized": evenness_i / total**2,
        "GrayLevelVariance": (by_grey * (i - mean_i) ** 2).sum() / total,
        f"HighGrayLevel{words['grey']}Emphasis": (by_grey * high).sum() / total,
        f"LowGrayLevel{words['grey']}Emphasis": (by_grey * low).sum() / total,
        f"{large_size}Emphasis": (by_size * large).sum() / total,
        f"{large_size}HighGrayLevelEmphasis": high @ of_large,
        f"{large_size}LowGrayLevelEmphasis": low @ of_large,
        f"{small_size}Emphasis": (by_size * small).sum() / total,
        f"{small_size}HighGrayLevelEmphasis": high @ of_small,
        f"{small_size}LowGrayLevelEmphasis": low @ of_small,
        f"{words['size']}NonUniformity": evenness_j / total,
        f"{words['size']}NonUniformityNormalized": evenness_j / total**2,
        f"{unit}Entropy": entropy(counts / total),
        f"{unit}Percentage": 1 / mean_j,
        f"{unit}Variance": (by_size * (j - mean_j) ** 2).sum() / total,
    }
