"""How far a patient lies from the training patients, and whether that is far.

By fold: the Mahalanobis distance of each slice's harmonised features, those that the heads use,
from all training slices; of the patient's slices the middle one; then the mean over folds. It is
held against what one in a hundred slices would exceed if features were normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from client.predict import Predictions
from common.release import Release

SHARE: Final = 0.99
"""Of further training slices, so many would lie nearer than the limit, were features normal."""


@dataclass(frozen=True)
class Unusual:
    """`distance` 1 is that of a training slice on average; `limit` is where the flag begins.

    `features` is the mean number of features over folds.
    """

    distance: float
    limit: float
    features: float

    @property
    def flagged(self) -> bool:
        """Whether the patient is unlike the training patients."""
        return self.distance > self.limit


def unusual(release: Release, found: Predictions, number: int) -> Unusual | None:
    """Judge a patient by its place among the predictions; None where the release cannot tell.

    A release cannot where its study hides each training patient by noise, where it is of an older
    version, and where it has too few training slices for so many features.
    """
    limits = [one.limit(SHARE) for one in release.distributions]
    known = [limit for limit in limits if limit is not None]
    if not known or len(known) < len(limits):
        return None
    own = found.rows.patient == number
    distances = [
        float(np.median(one.distances(features.columns("harmonized")[own])))
        for one, features in zip(release.distributions, found.features, strict=True)
    ]
    sizes = [one.features.size for one in release.distributions]
    return Unusual(float(np.mean(distances)), float(np.mean(known)), float(np.mean(sizes)))
