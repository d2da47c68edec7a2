"""What of a study's privacy budget is spent, from how far the run has come."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common.privacy.accounting import ORDERS, curve, epsilon_of
from common.privacy.of_study import noise_of, works_of
from common.study import Study
from server.dashboard.snapshot import PrivacyNow


def spent(
    study: Study, rounds: Mapping[int, int], folds_summed: int, scored: bool
) -> PrivacyNow | None:
    """Give what the run has released of any one training patient so far; None without privacy.

    Parameters
    ----------
    rounds
        Rounds of training that were settled, by fold.
    folds_summed
        Folds whose sums were released.
    scored
        Whether the validation patients' scores were.
    """
    privacy = study.privacy
    if not privacy.on:
        return None
    trained = [rounds.get(fold, 0) for fold in range(study.folds)]
    # A patient trains in all folds but the one in which it validates: the worst case is the patient
    # that validates where least was trained.
    most = sum(trained) - (min(trained) if study.folds > 1 else 0)
    network, sums, scores = works_of(study)
    noise = noise_of(study)
    released = (
        (noise.network, network.sampling_rate, most * privacy.steps),
        (noise.sums, sums.sampling_rate, min(sums.steps, folds_summed)),
        (noise.scores, scores.sampling_rate, scores.steps if scored else 0),
    )
    total = np.zeros(len(ORDERS))
    for multiplier, rate, steps in released:
        if steps:
            total = total + curve(multiplier, rate, steps)
    found = epsilon_of(total, privacy.delta) if total.any() else 0.0
    return PrivacyNow(privacy.epsilon, min(found, privacy.epsilon), privacy.delta, privacy.covers)
