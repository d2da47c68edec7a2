"""Who validates in which fold: drawn at the site, by patient, stratified by class, from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from common.study import Study


def draw_folds(labels: npt.NDArray[np.int64], study: Study, site: str) -> npt.NDArray[np.int64]:
    """Give each patient the fold in which it validates.

    With several folds every patient validates once. With one, `validation_fraction` of each class
    (at least one patient) validates in fold 0 and the others, -1, never.

    Parameters
    ----------
    labels
        (P,) 0/1, in the order of patient ids, so that the draw depends on the cohort only.
    """
    generator = np.random.default_rng(seed_of(study.seed, site, "folds"))
    folds = np.full(labels.size, -1, dtype=np.int64)
    start = 0
    for label in (0, 1):
        members = generator.permutation(np.flatnonzero(labels == label))
        if study.folds == 1:
            count = max(1, round(study.cohort.validation_fraction * members.size))
            folds[members[:count]] = 0
        else:
            # The second class goes on where the first stopped, so that fold sizes stay even.
            folds[members] = (start + np.arange(members.size)) % study.folds
            start += members.size
    return folds


def draw_private_folds(
    patient_ids: Sequence[str], study: Study, site: str
) -> npt.NDArray[np.int64]:
    """Give each patient a fold as `draw_folds` does, from its own id alone.

    `draw_folds` stratifies: who joins the cohort moves the others. The sums of a fold would then
    differ by more than one patient, and the groups of `common.privacy.budget` would not hold. The
    price is that folds are not even, and that one may lack a class.
    """
    drawn = [seed_of(study.seed, site, "private folds", one) for one in patient_ids]
    if study.folds > 1:
        return np.array([number % study.folds for number in drawn], dtype=np.int64)
    limit = study.cohort.validation_fraction * 2.0**63
    return np.array([0 if number < limit else -1 for number in drawn], dtype=np.int64)


def seed_of(seed: int, *parts: str | int) -> int:
    """Derive a seed of 63 bits for one use from the study's seed and what it is for."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
