"""Features of the grey level co-occurrence matrix (Haralick et al., IEEE Trans SMC 1973;3:610).

PyRadiomics' C code counts the pairs. Its features are sums over the matrix, most of which depend on
the sum or the difference of two grey levels only: these two distributions are found once.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from client.imaging.boxed.box import Floats
from client.imaging.boxed.grey_levels import EPSILON, GreyLevels, entropy

ROUNDING: Final = 1e-3
"""A root of a difference of about 1: below this, rounding can move it by 1e-9 of itself."""

NEIGHBOURS: Final = np.array([1])
"""Pairs are one pixel apart."""


def pair_shares(grey: GreyLevels) -> Floats:
    """Shares (n, n) of the pairs of grey levels that occur, both ways and over four directions.

    Not a number throughout where no two pixels of the myocardium touch.
    """
    from radiomics import cMatrices

    counts, _ = cMatrices.calculate_glcm(
        grey.binned, grey.mask, NEIGHBOURS, grey.highest, True, 0
    )  # (1, highest, highest, directions)
    one_way = counts[0].sum(axis=2)[np.ix_(grey.present - 1, grey.present - 1)]
    both = one_way + one_way.T
    shares: Floats = both / both.sum()
    return shares


def cooccurrence(grey: GreyLevels) -> dict[str, np.float64]:
    """Return PyRadiomics' 24 features by name."""
    p = pair_shares(grey)
    px, py = p.sum(axis=1), p.sum(axis=0)
    levels = grey.present.astype(np.float64)
    mean = (levels * px).sum()
    away = levels - mean
    variance = (px * away * away).sum()
    found = {
        "Autocorrelation": levels @ p @ levels,
        "Correlation": (away @ p @ away) / (variance + EPSILON) if variance else np.float64(1),
        "JointAverage": mean,
        "JointEnergy": (p * p).sum(),
        "MaximumProbability": p.max(),
        "SumSquares": variance,
    }
    found |= _of_sums(p, grey.present, mean)
    found |= _of_differences(p, grey.present, grey.highest)
    found |= _of_information(p, px, py)
    found["MCC"] = _maximal_correlation(p, px, py)
    if len(p) > 1 and not min(found["Imc2"], found["MCC"]) >= ROUNDING:
        found |= _roots_by_pyradiomics(grey)
    return found


def _roots_by_pyradiomics(grey: GreyLevels) -> dict[str, np.float64]:
    """Imc2 and MCC by PyRadiomics' own class, which decides how the last bits are rounded.

    The image is that of the bins: with a bin width of 1 it is binned as it is.
    """
    import SimpleITK as sitk
    from radiomics.glcm import RadiomicsGLCM

    image, mask = (
        sitk.GetImageFromArray(pixels.astype(kind))
        for pixels, kind in ((grey.binned, np.float64), (grey.mask, np.uint8))
    )
    measured = RadiomicsGLCM(
        image, mask, label=1, binWidth=1, force2D=True, weightingNorm="no_weighting"
    )
    measured.enableFeatureByName("Imc2")
    measured.enableFeatureByName("MCC")
    return {name: np.float64(value) for name, value in measured.execute().items()}


def _shares_of(kinds: npt.NDArray[np.int64], p: Floats) -> Floats:
    """Add up `p` (n, n) over the pairs of each kind (n, n): shares of the kinds 0, 1, 2 and on."""
    return np.bincount(kinds.ravel(), weights=p.ravel()).astype(np.float64, copy=False)


def _of_sums(p: Floats, levels: npt.NDArray[np.int64], mean: np.float64) -> dict[str, np.float64]:
    sums = levels[:, None] + levels
    shares = _shares_of(sums, p)
    k = np.arange(len(shares), dtype=np.float64)
    away = k - 2 * mean
    away2 = away * away
    return {
        "ClusterProminence": (shares * away2 * away2).sum(),
        "ClusterShade": (shares * away2 * away).sum(),
        "ClusterTendency": (shares * away2).sum(),
        "SumAverage": (shares * k).sum(),
        "SumEntropy": entropy(shares),
    }


def _of_differences(
    p: Floats, levels: npt.NDArray[np.int64], highest: int
) -> dict[str, np.float64]:
    differences = np.abs(levels[:, None] - levels)
    shares = _shares_of(differences, p)
    k = np.arange(len(shares), dtype=np.float64)
    k2 = k * k
    mean = (shares * k).sum()
    return {
        "Contrast": (shares * k2).sum(),
        "DifferenceAverage": mean,
        "DifferenceEntropy": entropy(shares),
        "DifferenceVariance": (shares * (k - mean) ** 2).sum(),
        "Id": (shares / (1 + k)).sum(),
        "Idm": (shares / (1 + k2)).sum(),
        "Idmn": (shares / (1 + k2 / highest**2)).sum(),
        "Idn": (shares / (1 + k / highest)).sum(),
        "InverseVariance": (shares[1:] / k2[1:]).sum(),
    }


def _of_information(p: Floats, px: Floats, py: Floats) -> dict[str, np.float64]:
    """Entropies in PyRadiomics' order of operations: Imc2 is the root of a small difference."""
    joint = entropy(p)
    independent = px[:, None] * py
    bits = np.log2(independent + EPSILON)
    first, second = -(p * bits).sum(), -(independent * bits).sum()
    largest = max(entropy(px), entropy(py))
    inside = 1 - np.e ** (-2 * (second - joint))
    return {
        "JointEntropy": joint,
        "Imc1": (joint - first) / largest if largest else np.float64(0),
        "Imc2": np.sqrt(inside) if second != joint else np.float64(0),
    }


def _maximal_correlation(p: Floats, px: Floats, py: Floats) -> np.float64:
    """Root of the second largest eigenvalue of Q, 1 for a single grey level.

    Q(i, j) is the sum over k of p(i, k) p(j, k) / (px(i) py(k) + EPSILON): a product of matrices,
    because the divisor does not depend on j.
    """
    if len(p) < 2:
        return np.float64(1)
    if not np.isfinite(p).all():
        return np.float64(np.nan)
    weighted = p / (px[:, None] * py + EPSILON)
    second = np.sort(np.linalg.eigvals(weighted @ p.T))[-2]
    root: np.float64 = np.sqrt(second).real
    return root
