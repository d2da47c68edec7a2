"""The table `[report]` of a study: what the report may tell of the patients, and of the sites.

Off by default: without it nothing more is asked of a site. Bounds, bins and levels are fixed here,
by the study's authors and not by anybody's data, so that all sites count alike.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from common.study_tables import RESERVED_COLUMNS, Section

MOST_BINS = 50
"""Bins of a numeric variable: finer ones would list single patients."""
MOST_LEVELS = 20
SITE = "site"
"""The site card's name for the training site itself; no column of a cohort is called so."""

Number = Annotated[float, Field(strict=True)]
Label = Annotated[str, Field(min_length=1, max_length=40)]


class Variable(Section):
    """A column of the cohort tables: a row of table 1, and a subgroup where the study says so.

    Numbers are counted in bins of `width` from `lower` to `upper`; one that lies outside counts as
    missing. `bands` cut a number into subgroups: ``[40.0, 60.0]`` makes three. Categories have
    `levels`; any other text counts as ``other``.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    kind: Literal["numeric", "categorical"]
    lower: Number = 0.0
    upper: Number = 0.0
    width: float = Field(0.0, ge=0.0, strict=True)
    test: Literal["welch", "student", "mann-whitney"] = "welch"
    levels: tuple[Label, ...] = Field((), max_length=MOST_LEVELS)
    bands: tuple[Number, ...] = Field((), max_length=MOST_LEVELS - 1)
    subgroups: bool = False

    @model_validator(mode="after")
    def _fits_kind(self) -> Variable:
        if self.name in RESERVED_COLUMNS:
            raise ValueError(f"variable {self.name} is a column of the cohort's structure")
        if self.kind == "categorical":
            self._refuse_unfit_levels()
        else:
            self._refuse_unfit_bins()
        if self.subgroups and not self.groups:
            raise ValueError(f"variable {self.name} is numeric and needs bands for its subgroups")
        return self

    def _refuse_unfit_levels(self) -> None:
        if len(set(self.levels)) < 2 or len(set(self.levels)) < len(self.levels):
            raise ValueError(f"variable {self.name} is categorical and needs two or more levels")
        if "other" in self.levels:
            raise ValueError(f"variable {self.name}: 'other' is what is not among the levels")
        if self.bands or self.width or self.lower or self.upper:
            raise ValueError(f"variable {self.name} is categorical and takes no bounds or bands")

    def _refuse_unfit_bins(self) -> None:
        if self.levels:
            raise ValueError(f"variable {self.name} is numeric and takes no levels")
        if not self.lower < self.upper or not self.width:
            raise ValueError(
                f"variable {self.name} is numeric and needs lower below upper and a width of bins, "
                "known beforehand and never taken from the patients"
            )
        if not 2 <= self.bins <= MOST_BINS:
            raise ValueError(
                f"variable {self.name} has {self.bins} bins; 2 to {MOST_BINS} are allowed"
            )
        edges = (self.lower, *self.bands, self.upper)
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError(f"variable {self.name}: bands must rise, between lower and upper")

    @property
    def bins(self) -> int:
        """How many bins a number is counted in; the last may reach beyond `upper`."""
        return ceil((self.upper - self.lower) / self.width - 1e-9) if self.width else 0

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the levels, or of the bands; empty for a number without bands."""
        if self.kind == "categorical":
            return self.levels
        if not self.bands:
            return ()
        between = [f"{low:g} to below {high:g}" for low, high in pairwise(self.bands)]
        return (f"below {self.bands[0]:g}", *between, f"{self.bands[-1]:g} and above")


class Report(Section):
    """What is asked for the report beside the study itself.

    `patients` asks for the flow of patients and, over the `variables`, for table 1. `features` asks
    for the share of variance between sites of each radiomic feature, before and after ComBat. The
    `site_card` says of what, by an image's leading `components`, a classifier may try to tell:
    ``site``, or a variable with levels or bands. It tells the coordinator in which direction each
    training site's images differ, so a study must name it.
    """

    patients: bool = False
    features: bool = False
    site_card: tuple[str, ...] = ()
    components: int = Field(5, ge=1, le=20, strict=True)
    variables: tuple[Variable, ...] = ()

    @field_validator("variables")
    @classmethod
    def _each_once(cls, variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
        # Two ways to cut one column would tell by their difference of the few in between.
        names = [variable.name for variable in variables]
        if len(set(names)) < len(names):
            raise ValueError("two variables are of the same column")
        return variables

    @model_validator(mode="after")
    def _what_is_named_is_there(self) -> Report:
        known = {SITE, *(variable.name for variable in self.variables if variable.groups)}
        for name in self.site_card:
            if name not in known:
                raise ValueError(
                    f"site_card: {name} is neither 'site' nor a variable with levels or bands"
                )
        if len(set(self.site_card)) < len(self.site_card):
            raise ValueError("site_card: something is named twice")
        if self.variables and not self.on:
            raise ValueError("variables: nothing is asked of them; set patients to true")
        return self

    @property
    def on(self) -> bool:
        """Whether anything is asked."""
        return self.patients or self.compares or bool(self.subgroups)

    @property
    def has_table(self) -> bool:
        """Whether table 1 has rows."""
        return self.patients and bool(self.variables)

    @property
    def compares(self) -> bool:
        """Whether features of the training sites are compared, which takes questions."""
        return self.features or bool(self.site_card)

    @property
    def subgroups(self) -> tuple[Variable, ...]:
        """The variables whose levels are subgroups at external sites."""
        return tuple(variable for variable in self.variables if variable.subgroups)

    def levels_of(self, of: str, training_sites: tuple[str, ...]) -> tuple[str, ...]:
        """Name what the site card tells apart: training sites, or the levels of a variable."""
        if of == SITE:
            return training_sites
        return next(variable.groups for variable in self.variables if variable.name == of)
