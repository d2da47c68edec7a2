"""The tables of a study's protocol file, each with its keys, their defaults and what they mean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.site_name import SITE_NAME

Name = Annotated[str, Field(pattern=f"^{SITE_NAME.pattern}$")]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0, strict=True)]
Positive = Annotated[float, Field(gt=0.0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}"
"""An Ed25519 key as OpenSSH writes it, without a comment."""

RESERVED_COLUMNS = frozenset(
    {
        "label",
        "outcome",
        "patient_id",
        "image",
        "mask",
        "second_mask",
        "phase",
        "frame",
        "slice",
        "site",
    }
)


class Section(BaseModel):
    """A table of the protocol: unknown keys refused, values fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Site(Section):
    """One hospital of the roster. An external site never trains.

    `key` is the public half of the site's identity key, as an OpenSSH line: with it the other sites
    know the site's session keys for secure summation.
    """

    name: Name
    role: Literal["train", "external"]
    key: str = Field("", pattern=f"^({PUBLIC_KEY})?$")


class Outcome(Section):
    """The two classes, as the cohort tables name them."""

    positive: str = "scar"
    negative: str = "none"


class Cohort(Section):
    """Which patients, phases and slices count, and how they are split.

    A site with fewer patients of a class than `minimum_patients_per_class` does not take part, and
    counts below it are not shown in what a site shares about its cohort.
    """

    phases: tuple[str, ...] = Field(("ED",), min_length=1)
    slices: Literal["all", "middle"] = "all"
    minimum_patients_per_class: int = Field(5, ge=2, strict=True)
    validation_fraction: Fraction = 0.25


class Preprocessing(Section):
    """From an image of any scanner to a 2-D slice on one grid."""

    spacing_mm: Positive = 1.0
    size: int = Field(256, ge=32, strict=True)
    crop: int = Field(128, ge=128, multiple_of=128, strict=True)
    crop_center: Literal["myocardium", "image"] = "myocardium"
    intensity: Literal["percentile", "minmax"] = "percentile"
    minimum_pixels: int = Field(20, ge=4, strict=True)


class Radiomics(Section):
    """The PyRadiomics recipe: 939 features a slice. Intensities in [0, 1] are multiplied by
    `grey_range` first; `bin_width` is in those units.
    """

    bin_width: Positive = 4.0
    grey_range: Positive = 255.0
    wavelet: Literal["haar", "coif1", "db1", "sym2"] = "coif1"


class Covariate(Section):
    """A covariate whose effect ComBat keeps. Levels are fixed here, so that sites agree.

    The name is that of a cohort column, which are read in small letters.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    kind: Literal["numeric", "categorical"]
    levels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _levels_fit_kind(self) -> Covariate:
        if self.kind == "categorical" and len(set(self.levels)) < 2:
            raise ValueError(f"covariate {self.name} is categorical and needs two or more levels")
        if self.kind == "numeric" and self.levels:
            raise ValueError(f"covariate {self.name} is numeric and takes no levels")
        return self


class Harmonization(Section):
    """Distributed ComBat: what a batch is, which effects to keep, how to estimate.

    `transform` is applied to every radiomic feature first. Many are products of grey levels and
    span ten orders of magnitude; asinh makes them symmetric enough for ComBat's normal errors,
    leaves small values as they are, and needs nothing estimated.
    """

    transform: Literal["asinh", "none"] = "asinh"
    mode: Literal["parametric", "nonparametric", "mean_only", "none"] = "parametric"
    batch: Literal["site", "scanner"] = "site"
    reference: str = ""
    covariates: tuple[Covariate, ...] = ()
    missing: Literal["refuse", "mean"] = "refuse"
    minimum_rows: int = Field(10, ge=2, strict=True)
    below_minimum: Literal["mean_only", "refuse"] = "mean_only"

    @property
    def fills(self) -> bool:
        """Whether covariates that some patients lack are filled, which takes a question more."""
        return self.missing == "mean" and bool(self.covariates)


class Cnn(Section):
    """The network: `width` 1 is the paper's 13.7 million weights."""

    width: float = Field(0.25, gt=0.0, le=2.0, strict=True)
    dropout: float = Field(0.5, ge=0.0, lt=1.0, strict=True)


Precision = Literal["float32", "bfloat16"]


class Training(Section):
    """Federated training of the CNN by Flower's strategy classes.

    The network is the mean over the last `averaged_rounds` rounds (stochastic weight averaging,
    Izmailov et al., UAI 2018): with few patients a single round is a matter of luck, and choosing
    the best of them on as few validation patients is too.

    With `precision` "bfloat16" a site whose processor or GPU has it trains in mixed precision, and
    any other site in float32. Scores and deep features are float32 in either case.

    With `transfer` "int8" weights, and their changes, travel as 8 bits each (`common.coarse`).
    """

    strategy: Literal[
        "fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "median", "trimmed_mean", "krum"
    ] = "fedavg"
    rounds: Count = 15
    averaged_rounds: Count = 7
    local_epochs: Count = 1
    batch_size: Count = 8
    learning_rate: Positive = 5e-4
    class_weight: Literal["balanced", "none"] = "balanced"
    augmentation: Literal["geometry+intensity", "geometry", "none"] = "geometry+intensity"
    proximal_mu: float = Field(0.01, ge=0.0, strict=True)
    server_learning_rate: Positive = 1.0
    server_momentum: float = Field(0.9, ge=0.0, lt=1.0, strict=True)
    adaptivity: Positive = 1e-3
    trimmed_fraction: float = Field(0.2, gt=0.0, lt=0.5, strict=True)
    distrusted_sites: int = Field(1, ge=0, strict=True)
    precision: Precision = "float32"
    transfer: Literal["float32", "int8"] = "float32"

    @model_validator(mode="after")
    def _average_what_there_is(self) -> Training:
        if self.averaged_rounds > self.rounds:
            raise ValueError(
                f"averaged_rounds is {self.averaged_rounds}, but there are {self.rounds} rounds"
            )
        return self


class Fusion(Section):
    """LASSO selection, the L1 logistic heads and their stack, all from sums."""

    sizes: tuple[Count, ...] = Field((5, 10, 20, 50), min_length=1)
    correlation_limit: float = Field(0.95, gt=0.0, le=1.0, strict=True)
    inverse_penalties: tuple[Positive, ...] = Field((0.1, 0.3, 1.0), min_length=1)
    patient_score: Literal["max", "mean", "top3"] = "max"


class OperatingPoint(Section):
    """Where the threshold is frozen: at least this sensitivity on validation patients."""

    sensitivity: Fraction = 0.90


Stage = Literal[
    "enrol",
    "describe",
    "harmonize",
    "train",
    "fuse",
    "calibrate",
    "compare",
    "card",
    "validate",
]

DEADLINES: dict[Stage, float] = {
    "enrol": 900.0,
    "describe": 900.0,
    "harmonize": 3600.0,
    "train": 3600.0,
    "fuse": 3600.0,
    "calibrate": 3600.0,
    "compare": 3600.0,
    "card": 3600.0,
    "validate": 7200.0,
}
"""Seconds that the sites have for one question of each stage, where the study names none."""


class Quorum(Section):
    """Who must answer. The run goes on without the others, and says so.

    `min_sites` counts training sites; 0 means that every site of the roster must answer, the
    external ones too. `mandatory` names sites of either role without which nothing goes on.
    """

    min_sites: int = Field(0, ge=0, strict=True)
    mandatory: tuple[Name, ...] = ()
    deadline_seconds: dict[Stage, Positive] = Field(default_factory=dict, validate_default=True)

    @field_validator("deadline_seconds")
    @classmethod
    def _defaults_where_none_is_named(cls, named: dict[Stage, float]) -> dict[Stage, float]:
        return DEADLINES | named


ROBUST = frozenset({"median", "trimmed_mean", "krum"})
"""Strategies that need each site's own weights."""


class SecureSum(Section):
    """Whether the coordinator learns totals only, or what each site says.

    Two totals over sets that differ by one site tell what that site says. So a site answers for
    another set than before, within one stage and fold, at most `set_changes` times: in all runs of
    the study together.
    """

    enabled: bool = True
    set_changes: int = Field(4, ge=0, strict=True)


class Firewall(Section):
    """When an update is refused by its size: robust z-score of the log of its norm.

    The norm of an update is compared with those of the other sites of the round: the distance of
    the logarithms from their median, in units of 1.4826 times the median absolute deviation.
    """

    norm_limit: float = Field(8.0, gt=0.0, strict=True)
