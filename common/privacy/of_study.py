"""What a study's privacy comes to: the noise of each kind of release, and what it releases.

Pure functions of the study, so every site and the coordinator come to the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from common.privacy.accounting import ORDERS, curve, epsilon_of
from common.privacy.plan import Work, noise_multipliers
from common.study import Study


@dataclass(frozen=True)
class Noise:
    """Noise multipliers: noise over sensitivity to one patient; 0 where nothing is released."""

    network: float
    sums: float
    scores: float


def noise_of(study: Study) -> Noise:
    """Give the noise with which the whole study just fits its budget.

    Raises
    ------
    PrivacyError
        No noise is enough.
    """
    privacy = study.privacy
    return Noise(*_solved(privacy.epsilon, privacy.delta, works_of(study)))


def works_of(study: Study) -> tuple[Work, Work, Work]:
    """List all that is released of one patient in a study: training, sums, scores."""
    privacy = study.privacy
    # A patient trains in all folds but the one in which it validates.
    folds = max(1, study.folds - 1)
    covered = 1 if privacy.everything else 0
    return (
        Work(
            folds * study.training.rounds * privacy.steps,
            privacy.sampling_rate,
            privacy.network_share,
        ),
        Work(covered * folds, 1.0, privacy.sums_share),
        Work(covered, 1.0, privacy.scores_share),
    )


def planned_curve(study: Study) -> NDArray[np.float64]:
    """Give the Rényi curve over `ORDERS` of all that a study releases of one patient."""
    noise = noise_of(study)
    multipliers = (noise.network, noise.sums, noise.scores)
    curves = [
        curve(own, work.sampling_rate, work.steps)
        for own, work in zip(multipliers, works_of(study), strict=True)
    ]
    return np.asarray(np.sum([np.zeros(len(ORDERS)), *curves], axis=0), dtype=np.float64)


def planned_epsilon(study: Study) -> float:
    """Give the epsilon that the whole study comes to; never above the study's own."""
    return epsilon_of(planned_curve(study), study.privacy.delta)


def training_share(study: Study) -> float:
    """Give the share of its patients that a site expects to train with in a fold."""
    if study.folds == 1:
        return 1.0 - study.cohort.validation_fraction
    return 1.0 - 1.0 / study.folds


@lru_cache(maxsize=16)
def _solved(epsilon: float, delta: float, works: tuple[Work, ...]) -> tuple[float, ...]:
    return tuple(noise_multipliers(epsilon, delta, works))
