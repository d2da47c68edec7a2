"""The update firewall: an answer counts only if its form, its counts and its size are plausible.

FedAvg trusts its sites: a NaN, a shape that broadcasts or a negative count would be averaged
without a word. Each stage states here-made requirements for its answers; an answer that misses one
is quarantined for that question, with the reason, and the run goes on while the quorum holds.
Reasons never quote what a site sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.messages import EnrolAnswer

Shape = tuple[int, ...]
Numbers = NDArray[np.generic]

NUMBERS = (np.float64, np.float32, np.int64)
"""What the arrays of an answer may hold."""
LARGEST = 1e100
"""No sum over a site's rows is larger, and sums of such numbers and their squares are finite."""
ROUNDING = 1e-6
FIXED_POINT = 1e-17
"""More than what secure summation rounds off a sum, with hundreds of sites."""
MOST_VARIANCE = 0.5
"""Of an AUC, as DeLong estimates it: a quarter for each class, where it has two patients."""

FEWEST = 3
"""Sites needed to say that one of them is unlike the others."""
LEAST_SPREAD = 0.25
"""Log-norms closer than this are alike, however close the others are to each other."""
MAD_TO_SD = 1.4826


class Implausible(Exception):
    """An answer cannot be what an honest site with a working machine would send."""


def require(condition: object, reason: str) -> None:
    """Refuse an answer for `reason` unless the condition holds."""
    if not condition:
        raise Implausible(reason)


def require_arrays(what: str, arrays: Mapping[str, Numbers], shapes: Mapping[str, Shape]) -> None:
    """Require exactly the named arrays, of these shapes and of plausible numbers.

    Raises
    ------
    Implausible
        A name is missing or too many, a shape or type is another one, or a value is NaN, infinite
        or beyond `LARGEST`.
    """
    missing = sorted(set(shapes) - set(arrays))
    require(not missing, f"{what} lack {', '.join(missing[:3])}")
    require(len(arrays) == len(shapes), f"{what} hold arrays that were not asked for")
    for name, shape in shapes.items():
        found: NDArray[Any] = arrays[name]
        require(found.dtype in NUMBERS, f"{what}: {name} does not hold numbers of a known type")
        require(found.shape == shape, f"{what}: {name} has the shape {found.shape}, not {shape}")
        require(np.isfinite(found).all(), f"{what}: {name} is not finite")
        largest = max(float(found.max(initial=0)), -float(found.min(initial=0)))
        require(largest <= LARGEST, f"{what}: {name} is too large for any sum")


def require_count(what: str, value: float, least: int, most: int) -> None:
    """Require a whole number between two bounds."""
    require(
        np.isfinite(value) and float(value).is_integer() and least <= value <= most,
        f"{what} is not a whole number from {least} to {most}",
    )


def require_histograms(histograms: Numbers, shape: Shape, own: EnrolAnswer) -> None:
    """Require counts of scores (..., 2, bins), by class, of no more patients than the site has."""
    require(histograms.dtype == np.int64, "a histogram does not hold counts")
    require(histograms.shape == shape, f"histograms have the shape {histograms.shape}, not {shape}")
    counts = histograms.astype(np.int64, copy=False)
    require((counts >= 0).all(), "a histogram holds negative counts")
    enrolled = np.array([own.negative, own.positive])
    # Each count first: a sum of enormous ones would overflow and look small.
    fits = (counts <= enrolled[:, None]).all() and (counts.sum(axis=-1) <= enrolled).all()
    require(fits, "a histogram counts more patients than the site enrolled")


def require_products(what: str, products: Numbers, first: Numbers, second: Numbers) -> None:
    """Require sums of products that fit the sums of squares, by the inequality of Cauchy-Schwarz.

    The three broadcast: `products` are sums of w a b, the others those of w a^2 and w b^2.
    """
    ab, aa, bb = (part.astype(np.float64, copy=False) for part in (products, first, second))
    require((aa >= 0.0).all() and (bb >= 0.0).all(), f"{what}: a sum of squares is negative")
    bound = np.sqrt(aa + FIXED_POINT) * np.sqrt(bb + FIXED_POINT)
    require((np.abs(ab) <= (1.0 + ROUNDING) * bound).all(), f"{what} are not those of any rows")


def unlike_the_others(norms: Mapping[str, float], limit: float) -> dict[str, str]:
    """Say whose update is much larger or smaller than those of the others, and by how much.

    The logarithms of the norms are compared by their median and median absolute deviation, so
    that the one that is wrong does not set the measure (as in Iglewicz & Hoaglin, 1993).
    """
    if len(norms) < FEWEST:
        return {}
    logs = {site: float(np.log(max(norm, 1e-30))) for site, norm in norms.items()}
    middle = float(np.median(list(logs.values())))
    deviation = float(np.median([abs(value - middle) for value in logs.values()]))
    spread = max(MAD_TO_SD * deviation, LEAST_SPREAD)
    return {
        site: f"the norm of its update, {norms[site]:.3g}, is {abs(value - middle) / spread:.0f} "
        f"robust deviations from the others' median, {np.exp(middle):.3g}"
        for site, value in logs.items()
        if abs(value - middle) / spread > limit
    }
