"""The study: the protocol file that every site approves and the coordinator runs.

A study is a TOML file; `common.study_tables` has its tables. Every key has a default but the name
and the roster; an unknown key or an impossible value is refused with its line. The fingerprint is a
SHA-256 over the canonical content, so comments, order and formatting do not change it, and writing
a default out does not either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from pydantic import Field, ValidationError, field_validator, model_validator

from common.coarse import MOST_SITES
from common.secure_sum import FEWEST
from common.study_comparison import Comparison
from common.study_explain import Explain
from common.study_privacy import Privacy
from common.study_reduction import Reduction
from common.study_report import Report
from common.study_search import Search
from common.study_tables import (
    DEADLINES,
    RESERVED_COLUMNS,
    ROBUST,
    Cnn,
    Cohort,
    Covariate,
    Firewall,
    Fusion,
    Harmonization,
    Name,
    OperatingPoint,
    Outcome,
    Preprocessing,
    Quorum,
    Radiomics,
    Section,
    SecureSum,
    Site,
    Stage,
    Training,
)

LATER = ("leave_one_site_out", "comparison", "explain", "report", "reduction", "search")
"""Keys and sections that studies did not have from the beginning; all are off by default."""

LATER_KEYS = (("training", "precision"), ("training", "transfer"))
"""Keys of older sections that came later; each is left out while it is at its default."""

LATER_STAGES: tuple[Stage, ...] = ("describe", "compare", "card")
"""Stages that came with them, whose deadlines a study names like those of the others."""


class Study(Section):
    """The whole protocol. `read` it from TOML; `fingerprint` names its content."""

    name: Name
    sites: tuple[Site, ...] = Field(min_length=1)
    seed: int = Field(2026, ge=0, lt=2**31, strict=True)
    folds: int = Field(1, ge=1, le=20, strict=True)
    leave_one_site_out: bool = Field(False, strict=True)
    outcome: Outcome = Outcome()
    cohort: Cohort = Cohort()
    preprocessing: Preprocessing = Preprocessing()
    radiomics: Radiomics = Radiomics()
    harmonization: Harmonization = Harmonization()
    cnn: Cnn = Cnn()
    training: Training = Training()
    fusion: Fusion = Fusion()
    operating_point: OperatingPoint = OperatingPoint()
    comparison: Comparison = Comparison()
    quorum: Quorum = Quorum()
    firewall: Firewall = Firewall()
    secure_sum: SecureSum = SecureSum()
    privacy: Privacy = Privacy()
    explain: Explain = Explain()
    report: Report = Report()
    reduction: Reduction = Reduction()
    search: Search = Search()

    @field_validator("sites")
    @classmethod
    def _names_are_unique(cls, sites: tuple[Site, ...]) -> tuple[Site, ...]:
        names = [site.name for site in sites]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sites have the same name: {', '.join(twice)}")
        if not any(site.role == "train" for site in sites):
            raise ValueError("no site has the role 'train'")
        keys = [site.key for site in sites if site.key]
        if len(set(keys)) < len(keys):
            raise ValueError("two sites have the same key")
        return sites

    @model_validator(mode="after")
    def _roster_and_outcome_fit(self) -> Study:
        if self.outcome.positive == self.outcome.negative:
            raise ValueError("outcome: the positive and the negative class have the same name")
        wanted = self.harmonization.reference
        if wanted and wanted not in self.training_sites:
            raise ValueError(f"harmonization.reference: {wanted} is not a training site")
        if wanted and self.harmonization.batch == "scanner":
            raise ValueError(
                "harmonization.reference: a reference is a site, and the study's batches are "
                "scanners; set batch to 'site', or take the reference out"
            )
        for position, covariate in enumerate(self.harmonization.covariates):
            self._refuse_outcome(position, covariate)
        self._refuse_impossible_quorum()
        self._refuse_hollow_robustness()
        if self.secure_sum.enabled:
            self._refuse_what_cannot_be_hidden()
        if self.privacy.on:
            self._refuse_what_noise_cannot_cover()
        if self.training.transfer == "int8" and len(self.training_sites) > MOST_SITES:
            raise ValueError(
                f"training.transfer: {len(self.training_sites)} training sites, and 8 bits can be "
                f"divided among {MOST_SITES} at most. Set it to 'float32'"
            )
        if self.leave_one_site_out:
            self._refuse_what_cannot_be_left_out()
        if self.comparison.on:
            self._refuse_what_cannot_be_compared()
        if self.report.compares and len(self.training_sites) < 2:
            raise ValueError("report: one training site alone differs from nobody")
        return self

    def _refuse_what_cannot_be_compared(self) -> None:
        """Refuse trees without masks, and classifiers where no features are selected."""
        if self.comparison.trees and not self.secure_sum.enabled:
            named = " and ".join(self.comparison.trees)
            raise ValueError(
                f"comparison.classifiers: {named}: sums over the nodes of trees, where one site "
                "may have fewer patients than the minimum. Switch secure_sum on, so that only "
                "totals can be read, or leave the trees out"
            )
        if self.reduction.method == "pca":
            raise ValueError(
                "comparison.classifiers: they are fitted on the features that the fused heads "
                "select, and heads on principal components use all of them. Set reduction.method "
                "to 'lasso' or 'pruning', or leave the comparison out"
            )

    def _refuse_impossible_quorum(self) -> None:
        training = len(self.training_sites)
        if self.quorum.min_sites > training:
            raise ValueError(
                f"quorum.min_sites: {self.quorum.min_sites} sites are asked for, and the roster "
                f"has {training} that train"
            )
        roster = {site.name for site in self.sites}
        strangers = [name for name in self.quorum.mandatory if name not in roster]
        if strangers:
            raise ValueError(f"quorum.mandatory: {', '.join(strangers)} is not in the roster")

    def _refuse_hollow_robustness(self) -> None:
        """Refuse a robust strategy that, with as few sites as may answer, withstands none."""
        training, sites = self.training, self.least_sites
        if training.strategy == "median" and sites < 3:
            raise ValueError(
                f"training.strategy: the median of {sites} sites withstands no bad one"
            )
        if training.strategy == "trimmed_mean" and int(training.trimmed_fraction * sites) < 1:
            raise ValueError(
                f"training.trimmed_fraction: {training.trimmed_fraction:g} leaves out none of "
                f"{sites} sites"
            )
        needed = 2 * training.distrusted_sites + 3
        if training.strategy == "krum" and sites < needed:
            raise ValueError(
                f"training.distrusted_sites: with {training.distrusted_sites} Krum needs {needed} "
                f"sites, and a round may have {sites}"
            )

    def _refuse_what_cannot_be_hidden(self) -> None:
        """Refuse what secure summation cannot do; to do without it, a study says so itself."""
        off = "or write 'enabled = false' in [secure_sum]: the coordinator then sees each site's"
        if self.least_sites < FEWEST:
            asked = " may answer" if self.quorum.min_sites else ""
            raise ValueError(
                f"secure_sum: {self.least_sites} training sites{asked}, and fewer than "
                f"{FEWEST} cannot hide from each other. Ask for more sites, {off} sums"
            )
        if self.training.strategy in ROBUST:
            raise ValueError(
                f"secure_sum: the strategy {self.training.strategy} compares the sites' weights, "
                f"and secure summation hides them. Choose another strategy, {off} weights"
            )
        if self.harmonization.transform == "none":
            raise ValueError(
                "secure_sum: untransformed features span too many orders of magnitude for its "
                f"fixed point. Set harmonization.transform to 'asinh', {off} sums"
            )

    def _refuse_what_noise_cannot_cover(self) -> None:
        """Refuse what cannot be done with differential privacy, or would break its promise."""
        if self.explain.attention:
            raise ValueError(
                "explain.attention: a study with privacy asks for no sums without noise that it "
                "can do without. Leave attention out, or the privacy"
            )
        if self.report.on:
            raise ValueError(
                "report: its sums over patients are exact, and would tell of one patient what the "
                "noise of [privacy] hides. Take [report] out, or set privacy.epsilon to 0"
            )
        if self.training.strategy in ROBUST:
            raise ValueError(
                f"privacy: the strategy {self.training.strategy} throws away the answers of sites, "
                "and every answer is paid for. Choose another strategy"
            )
        if self.training.transfer == "int8":
            raise ValueError(
                "training.transfer: the noise of [privacy] is not made for steps of 8 bits. Set it "
                "to 'float32'"
            )
        if self.comparison.on:
            raise ValueError(
                "comparison.classifiers: their sums are exact, so the noise would hide nobody. "
                "Compare classifiers in a study without privacy"
            )
        if self.search.on:
            raise ValueError(
                "search.budget: with privacy every round of every trial would have to be paid for, "
                "and little would be left for the network itself. Set it to 0"
            )
        if self.reduction.measures_icc:
            raise ValueError(
                "reduction.minimum_icc: the sums over two masks carry no noise, and with privacy "
                "each would have to be paid for. Set it to 0"
            )
        if not self.privacy.everything:
            return
        if self.reduction != Reduction():
            raise ValueError(
                "reduction: with privacy that covers everything a study names its few features "
                "in [privacy.features], and nothing is reduced. Leave the table out"
            )
        asked = self.harmonization
        if asked.covariates or asked.reference or asked.batch != "site":
            raise ValueError(
                "harmonization: with privacy that covers everything a batch is a site, without "
                "covariates or a reference"
            )
        if asked.mode != "mean_only":
            raise ValueError(
                f"harmonization.mode: with privacy that covers everything it is 'mean_only', not "
                f"'{asked.mode}': noise drowns the scale of a site"
            )

    def _refuse_what_cannot_be_left_out(self) -> None:
        """Refuse a study of which one site cannot be left out, whichever of those that train."""
        if self.privacy.on:
            raise ValueError(
                "leave_one_site_out: with privacy each patient would be paid for in every run but "
                "one, and in that one the results of its site leave without noise. Leave one of "
                "the two out"
            )
        if self.harmonization.reference:
            raise ValueError(
                "leave_one_site_out: harmonization.reference is left out once as well, and the "
                "runs would not be harmonised alike. Take the reference out"
            )
        for site in self.training_sites:
            try:
                self.leaving_out(site)
            except ValidationError as error:
                reason = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"leave_one_site_out: without {site}: {reason}") from None

    def leaving_out(self, site: str) -> Study:
        """Give the same protocol with a training site as an external one.

        It is an ordinary study, with a fingerprint of its own. The site that is left out is
        mandatory in it: without its answer the run would have nothing to say.

        Raises
        ------
        ValueError
            The site does not train; or (pydantic's ValidationError) there is no such study, for
            example because too few sites would train.
        """
        if site not in self.training_sites:
            raise ValueError(f"{site} does not train in the study {self.name}")
        content = self.model_dump(mode="json") | {"leave_one_site_out": False}
        for one in content["sites"]:
            if one["name"] == site:
                one["role"] = "external"
        if self.quorum.min_sites > 0:
            named = content["quorum"]["mandatory"]
            content["quorum"]["mandatory"] = list(dict.fromkeys([*named, site]))
        return Study.model_validate_json(json.dumps(content))

    def _refuse_outcome(self, position: int, covariate: Covariate) -> None:
        classes = {self.outcome.positive.lower(), self.outcome.negative.lower()}
        levels = {level.lower() for level in covariate.levels}
        if covariate.name.lower() in RESERVED_COLUMNS | classes or levels & classes:
            raise ValueError(
                f"harmonization.covariates.{position}.name: {covariate.name} is the outcome or a "
                "column of the cohort's structure. The outcome is never a ComBat covariate: it "
                "carries the label into the features (on pure noise it made an AUC of 0.655)"
            )

    @property
    def training_sites(self) -> tuple[str, ...]:
        """Names of the training sites, in the order of the roster."""
        return tuple(site.name for site in self.sites if site.role == "train")

    @property
    def external_sites(self) -> tuple[str, ...]:
        """Names of the external sites, in the order of the roster."""
        return tuple(site.name for site in self.sites if site.role == "external")

    @property
    def mandatory_sites(self) -> tuple[str, ...]:
        """Sites without which nothing goes on: with `min_sites` 0 all of the roster, else those
        that the study names, and the reference of the harmonisation where it has one.
        """
        if self.quorum.min_sites == 0:
            return tuple(site.name for site in self.sites)
        reference = self.harmonization.reference
        return tuple(dict.fromkeys([*self.quorum.mandatory, *([reference] if reference else [])]))

    @property
    def least_sites(self) -> int:
        """How many training sites must answer each question."""
        return self.quorum.min_sites or len(self.training_sites)

    def deadline(self, stage: str) -> float:
        """Seconds that the sites have for one question of a stage; a trial's are training's."""
        named = "train" if stage == "search" else stage
        return {str(name): limit for name, limit in self.quorum.deadline_seconds.items()}[named]

    def radiomics_used(self, measured: Sequence[str]) -> list[str]:
        """Names of the radiomic features that the study uses, of those that are measured."""
        return list(self.privacy.features) if self.privacy.everything else list(measured)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the canonical content."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def canonical(self) -> str:
        """The content as JSON with sorted keys and every default written out.

        Only what is `LATER` is left out while it is at its defaults, so that studies and releases
        from before it keep their fingerprints.
        """
        left_out = {name for name in LATER if getattr(self, name) == type(getattr(self, name))()}
        content = self.model_dump(mode="json", exclude=left_out)
        for section, key in LATER_KEYS:
            default = type(getattr(self, section)).model_fields[key].default
            if content[section][key] == default:
                del content[section][key]
        deadlines = content["quorum"]["deadline_seconds"]
        for stage in LATER_STAGES:
            if deadlines[stage] == DEADLINES[stage]:
                del deadlines[stage]
        return json.dumps(content, sort_keys=True, separators=(",", ":"))
