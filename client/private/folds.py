"""Folds that a ledger can count on: each patient's follows from its own id alone.

`client.cohort.folds` stratifies: who joins the cohort moves the others. The sums of a fold then
differ by more than one patient, and the groups of `common.privacy.budget` would not hold. The
price is that folds are not even, and that one may lack a class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from client.cohort.folds import seed_of


def draw_private_folds(
    patient_ids: Sequence[str], seed: int, site: str, folds: int, validation_fraction: float
) -> NDArray[np.int64]:
    """Give each patient the fold in which it validates: (P,), -1 for never.

    Parameters
    ----------
    patient_ids : P texts
    seed, site : of the study and of whom; they may be public, as the draw tells nothing of labels
    folds : with one, a patient validates with the probability `validation_fraction`
    """
    drawn = [seed_of(seed, site, "private folds", one) for one in patient_ids]
    if folds > 1:
        return np.array([number % folds for number in drawn], dtype=np.int64)
    limit = validation_fraction * 2.0**63
    return np.array([0 if number < limit else -1 for number in drawn], dtype=np.int64)
