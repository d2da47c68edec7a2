"""What a round may do to the weights: how far it can move them, and the grid of what is sent."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from common.secure_sum.fixed_point import WEIGHTS
from common.study_tables import Training

BETA_1, BETA_2 = 0.9, 0.999
"""Adam's decay rates, PyTorch's defaults."""


def longest_change(size: int, slices: int, training: Training) -> float:
    """Bound the Euclidean norm of what one round can change in `size` weights.

    Adam moves no weight by more than lr (1 - beta1) / sqrt(1 - beta2) in one step (Kingma & Ba,
    ICLR 2015, section 2.1). A change beyond it was not made by this training.

    Parameters
    ----------
    slices
        Of the site; for the mean over several sites, of all of them.
    """
    steps = training.local_epochs * math.ceil(slices / training.batch_size)
    a_step = training.learning_rate * max(1.0, (1.0 - BETA_1) / math.sqrt(1.0 - BETA_2))
    return steps * a_step * math.sqrt(size)


def moved_by(change: NDArray[np.float32], slices: int, of_all: int) -> float:
    """Give how far the weights moved, of a site or the mean of several, from what is sent.

    Parameters
    ----------
    change
        The change times the share of the slices.
    slices, of_all
        Those of the site or sites, and the number by which shares are reckoned.
    """
    return float(np.linalg.norm(change.astype(np.float64))) * of_all / slices


def share_of_change(
    after: NDArray[np.float32], before: NDArray[np.float32], share: float
) -> NDArray[np.float32]:
    """Give the change of the weights times a site's share of all slices.

    Rounded to the step of secure summation, so that sums are exact, and the same with it and
    without.
    """
    step = 2.0**-WEIGHTS.fraction
    change = (after.astype(np.float64) - before) * share
    return (np.rint(change / step) * step).astype(np.float32)
