"""What a round may do to the weights: how far it can move them, and the grid of what is sent."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from common.privacy.fresh_head import HEAD
from common.privacy.of_study import training_share
from common.secure_sum.fixed_point import WEIGHTS
from common.study import Study
from common.study_tables import Training

BETA_1, BETA_2 = 0.9, 0.999
"""Adam's decay rates, PyTorch's defaults."""
ADAM = max(1.0, (1.0 - BETA_1) / math.sqrt(1.0 - BETA_2))
"""Learning rates by which it moves a weight at most in one step."""


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
    return steps * training.learning_rate * ADAM * math.sqrt(size)


def longest_private_change(size: int, patients: int, study: Study, noise: float) -> float:
    """Bound the norm of what one round of private training can change in `size` weights.

    A step adds up the clipped gradients of at most all patients, and the noise: the norm of m
    standard normal numbers is above sqrt(m) + 6 once in 10^8. The sum is divided by the patients
    that are expected. The mean of several sites has the noise of all of them.

    Parameters
    ----------
    patients
        That the site, or the sites, enrolled.
    noise
        The noise multiplier.
    """
    privacy = study.privacy
    learning = HEAD if privacy.trained == "head" else size
    if privacy.optimizer == "adam":
        return privacy.steps * privacy.learning_rate * ADAM * math.sqrt(learning)
    sites = math.sqrt(len(study.training_sites))
    a_sum = privacy.clip * (patients + sites * noise * (math.sqrt(learning) + 6.0))
    expected = patients * training_share(study) * privacy.sampling_rate
    pull = 1.0 + study.training.proximal_mu * privacy.learning_rate
    return float(privacy.steps * privacy.learning_rate * a_sum / expected * pull)


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
