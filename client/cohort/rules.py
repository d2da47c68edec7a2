"""What a study asks of a site's cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CohortRules:
    """The rules by which `check_site` judges a cohort.

    Attributes:
        phases: the phases that the study uses; every patient needs each of them, and rows of other
            phases are not looked at. Empty: all rows are looked at, none is asked for.
        minimum_patients_per_class: the study's minimum cell; also the smallest count that
            `CheckReport.shareable` shows.
        levels: for each categorical covariate of the study, the levels that it knows.
        required: covariates that every patient must have.
        numeric: covariates that must be numbers where they are given.
        minimum_myocardium: the fewest myocardium voxels that a mask may have.
        bright_blood: blood is brighter than myocardium, as in cine images; False switches off the
            checks of contours that rest on it.
    """

    phases: tuple[str, ...] = ("ED",)
    minimum_patients_per_class: int = 5
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    minimum_myocardium: int = 20
    bright_blood: bool = True

    @property
    def covariates(self) -> tuple[str, ...]:
        """Every covariate that the study names, once."""
        return tuple(dict.fromkeys((*self.required, *self.levels, *self.numeric)))
