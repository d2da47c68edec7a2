"""What Gaussian releases cost: their Rényi curve, and the epsilon that it comes to.

Two cohorts are neighbours when one has a patient, with all slices, that the other lacks (add or
remove one). A release of sensitivity S under that relation, with noise of standard deviation z S,
has the noise multiplier z. Training takes each patient in with probability q at each step: the
sampled Gaussian mechanism. A plain sum is the same with q = 1.

The accountant is Opacus's of Rényi differential privacy (Mironov et al., arXiv:1908.10530; the
step to epsilon by Balle et al., arXiv:1905.09982, theorem 21). Opacus's other one, by numerical
composition (PRV), gives an epsilon that is 7 to 13 % lower at our settings. It is not used: it
covers one direction of the relation only, which need not be the worse one of a composition (Lebeda
et al., arXiv:2405.20769), divides by zero at q = 1, and is no filter. Rényi curves of any releases
simply add up, in both directions, also when what is asked next depends on what was answered.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from common.errors import MyoFedError

Floats = NDArray[np.float64]

ORDERS: tuple[float, ...] = (
    *(1.0 + x / 10.0 for x in range(1, 30)),
    *(4.0 + x / 4.0 for x in range(28)),
    *(float(x) for x in range(11, 65)),
    *(80.0, 96.0, 128.0, 192.0, 256.0, 512.0),
)
"""Orders of the curves. More of them would show an epsilon that is smaller by less than 1 %."""

LARGEST_NOISE = 1e5
_PRECISION = 1e-3


class PrivacyError(MyoFedError):
    """A privacy setting is impossible."""

    code = "privacy-invalid"
    public = "The privacy settings cannot be met."


def curve(noise_multiplier: float, sampling_rate: float = 1.0, steps: int = 1) -> Floats:
    """Give the Rényi divergence of `steps` releases at each of `ORDERS`; infinite without noise.

    Raises
    ------
    PrivacyError
        A number is out of range.
    """
    if not (0.0 <= noise_multiplier < math.inf and 0.0 <= sampling_rate <= 1.0 and steps >= 0):
        raise PrivacyError(
            f"Noise multiplier {noise_multiplier}, sampling rate {sampling_rate} and {steps} steps "
            "were to be accounted.",
            "Noise is 0 or more, the rate between 0 and 1, steps are counted from 0.",
        )
    if steps == 0:
        return np.zeros(len(ORDERS))
    return _step(noise_multiplier, sampling_rate) * steps


@lru_cache(maxsize=256)
def _step(noise_multiplier: float, sampling_rate: float) -> Floats:
    from opacus.accountants.analysis.rdp import (  # type: ignore[import-untyped]
        compute_rdp,
    )

    found: Floats = np.asarray(
        compute_rdp(
            q=sampling_rate, noise_multiplier=noise_multiplier, steps=1, orders=list(ORDERS)
        ),
        dtype=np.float64,
    )
    # What cannot be computed at an order bounds nothing there.
    found = np.where(np.isnan(found), np.inf, np.maximum(found, 0.0))
    found.setflags(write=False)
    return found


def epsilon_of(total: Floats, delta: float) -> float:
    """Turn a curve over `ORDERS` into epsilon at `delta`; infinite where it bounds nothing.

    Raises
    ------
    PrivacyError
        Delta is not between 0 and 1.
    """
    if not 0.0 < delta < 1.0:
        raise PrivacyError(f"Delta is {delta}.", "It lies between 0 and 1; 1e-5 is usual.")
    from opacus.accountants.analysis.rdp import get_privacy_spent

    if not np.isfinite(total).any():
        return math.inf
    if not total.any():
        return 0.0
    with warnings.catch_warnings():
        # It says that a smaller epsilon could be shown with more orders. This one is no less true.
        warnings.filterwarnings("ignore", message="Optimal order is the")
        epsilon, _ = get_privacy_spent(orders=list(ORDERS), rdp=total, delta=delta)
    return max(0.0, float(epsilon))


def spent(steps: int, sampling_rate: float, noise_multiplier: float, delta: float) -> float:
    """Give the epsilon at `delta` of so many steps of training, or of plain sums at rate 1.

    Raises
    ------
    PrivacyError
        A number is out of range.
    """
    return epsilon_of(curve(noise_multiplier, sampling_rate, steps), delta)


def noise_for(epsilon: float, delta: float, steps: int, sampling_rate: float = 1.0) -> float:
    """Give the least noise multiplier with which `steps` stay within `epsilon` at `delta`.

    It is rounded up by at most one part in 1,000.

    Raises
    ------
    PrivacyError
        A number is out of range, or no noise up to 100,000 is enough.
    """
    if not 0.0 < epsilon < math.inf:
        raise PrivacyError(f"Epsilon is {epsilon}.", "It is a number above 0; 1 to 8 are usual.")
    try:
        return least(lambda noise: spent(steps, sampling_rate, noise, delta) <= epsilon, 1.0)
    except OverflowError:
        raise PrivacyError(
            f"No noise keeps {steps} steps at rate {sampling_rate:g} within epsilon "
            f"{epsilon:g} at delta {delta:g}.",
            "Ask for a larger epsilon or delta, or for fewer steps.",
        ) from None


def least(fits: Callable[[float], bool], start: float) -> float:
    """Find the least number that fits, rounded up by at most one part in 1,000.

    `fits` is true from some number on. Without one between 1e-5 and 1e5 it raises OverflowError.
    """
    low, high = start / 2.0, start
    while not fits(high):
        low, high = high, 2.0 * high
        if high > LARGEST_NOISE:
            raise OverflowError
    while fits(low):
        low, high = low / 2.0, low
        if high < 1.0 / LARGEST_NOISE:
            return high
    while high - low > _PRECISION * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
