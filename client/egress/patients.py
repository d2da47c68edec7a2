"""How many patients of a site stand behind each of its sums; counted from its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from client.cohort.rows import SiteRows


@dataclass(frozen=True)
class Patients:
    """Patients with slices in the study.

    Attributes
    ----------
    classes
        Negative and positive ones.
    training, validating
        Those of each fold.
    observed
        Those training in each fold of whom a covariate is known, by covariate.
    paired
        Those training and validating in each fold who were measured with two masks.
    """

    classes: tuple[int, int]
    training: tuple[int, ...]
    validating: tuple[int, ...]
    observed: Mapping[str, tuple[int, ...]]
    paired: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, rows: SiteRows, folds: int) -> Patients:
        """Count the patients of a site's rows; those of an external site validate in no fold."""
        trains = [rows.trains(fold) for fold in range(folds)]
        known = {
            name: np.array([bool(value.strip()) for value in values], bool)
            for name, values in rows.covariates.items()
        }
        labels = rows.patient_labels[np.unique(rows.patient)]
        negative, positive = (int((labels == label).sum()) for label in (0, 1))

        pairs = rows.paired

        def count(chosen: NDArray[np.bool_]) -> int:
            return int(np.unique(rows.patient[chosen]).size)

        return cls(
            classes=(negative, positive),
            training=tuple(count(own) for own in trains),
            validating=tuple(count(rows.validates(fold)) for fold in range(folds)),
            observed={
                name: tuple(count(own & seen) for own in trains) for name, seen in known.items()
            },
            paired=tuple((count(own & pairs), count(~own & pairs)) for own in trains),
        )
