"""How much noise each kind of release gets, so that together they just fit the budget.

A pure function of the study, so every site and the coordinator come to the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.privacy.accounting import ORDERS, PrivacyError, curve, epsilon_of, least, noise_for


@dataclass(frozen=True)
class Work:
    """All releases of one kind that one patient is in: how many, sampled how, for what share.

    With F folds a patient is in the training of F - 1 (of one if F is 1), and validates in one.
    """

    steps: int
    sampling_rate: float
    share: float


def noise_multipliers(epsilon: float, delta: float, works: Sequence[Work]) -> list[float]:
    """Give the noise multiplier of each kind of work.

    The variance of a kind's noise goes with one over its share, as that of Gaussian noise of equal
    cost does. All are then scaled together until their sum is the budget; for sampled training a
    share is therefore met nearly, the budget never exceeded.

    Parameters
    ----------
    works
        Their shares are above 0; only their ratios count. Those without steps get 0.

    Raises
    ------
    PrivacyError
        A share is not positive, or no noise is enough.
    """
    doing = [work for work in works if work.steps > 0]
    if not all(0.0 < work.share < math.inf for work in doing):
        raise PrivacyError("A share of the privacy budget is not positive.", "Leave it out.")
    whole = sum(work.share for work in doing)
    alone = [
        noise_for(epsilon, delta, work.steps, work.sampling_rate) * math.sqrt(whole / work.share)
        for work in doing
    ]

    def cost(factor: float) -> float:
        total = np.zeros(len(ORDERS))
        for work, noise in zip(doing, alone, strict=True):
            total = total + curve(factor * noise, work.sampling_rate, work.steps)
        return epsilon_of(total, delta)

    factor = least(lambda one: cost(one) <= epsilon, 1.0) if doing else 0.0
    found = iter(factor * noise for noise in alone)
    return [next(found) if work.steps > 0 else 0.0 for work in works]
