"""First-order features: of the intensities in the myocardium, without their places."""

from __future__ import annotations

import numpy as np

from client.imaging.boxed.grey_levels import GreyLevels, entropy


def first_order(grey: GreyLevels, pixel_mm2: float) -> dict[str, np.float64]:
    """Return PyRadiomics' 18 features by name; `pixel_mm2` is the area of a pixel."""
    values = grey.values
    p10, p25, median, p75, p90 = np.percentile(values, [10, 25, 50, 75, 90])
    lowest, highest, mean = values.min(), values.max(), values.mean()
    away = values - mean
    away2 = away * away
    variance = away2.mean()
    # A constant image has no spread to divide by; PyRadiomics then divides its zeros by 1.
    spread = variance if variance else np.float64(1)
    energy = (values * values).sum()
    core = values[(values >= p10) & (values <= p90)]
    core_mean = core.sum() / core.size  # of none of two pixels: not a number, as in PyRadiomics
    shares = grey.counts / values.size
    return {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "Entropy": entropy(shares),
        "InterquartileRange": p75 - p25,
        "Kurtosis": (away2 * away2).mean() / spread**2,
        "Maximum": highest,
        "MeanAbsoluteDeviation": np.abs(away).mean(),
        "Mean": mean,
        "Median": median,
        "Minimum": lowest,
        "Range": highest - lowest,
        "RobustMeanAbsoluteDeviation": np.abs(core - core_mean).sum() / core.size,
        "RootMeanSquared": np.sqrt(energy / values.size),
        "Skewness": (away2 * away).mean() / spread**1.5,
        "TotalEnergy": energy * pixel_mm2,
        "Uniformity": (shares * shares).sum(),
        "Variance": variance,
    }
