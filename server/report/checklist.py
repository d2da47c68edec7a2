"""A reporting checklist, filled as far as the run knows; what it does not know stays open.

The wording of each item is our own and short: the checklists themselves are to be read where they
were published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from common.study import Study
from common.trials import Settings
from server.report.populations import Population
from server.report.record import FinishedRun
from server.report.words import count, listed, plural

State = Literal["filled", "partly", "open"]


@dataclass(frozen=True)
class Item:
    """An item: its number in the checklist, what it asks, how far it is filled, and with what."""

    number: str
    part: str
    asks: str
    state: State
    answer: str


def filled(number: str, part: str, asks: str, answer: str) -> Item:
    """Make an item that the run answers."""
    return Item(number, part, asks, "filled", answer)


def partly(number: str, part: str, asks: str, answer: str) -> Item:
    """Make an item of which the authors must write the rest."""
    return Item(number, part, asks, "partly", answer)


def for_authors(number: str, part: str, asks: str) -> Item:
    """Make an item that only the authors can answer."""
    return Item(number, part, asks, "open", "")


@dataclass(frozen=True)
class Facts:
    """What both checklists say of a run, in words."""

    study: Study
    settings: Settings
    sites: str
    patients: str
    events: str
    external: str
    missing: str
    partition: str
    performance: str
    described: bool
    flow: str
    subgroups: bool
    recalibrated: bool
    attention: bool
    left_out: bool


def facts(run: FinishedRun, groups: Sequence[Population], recalibrated: bool) -> Facts:
    """Put the run into the words of the checklists."""
    study, sites = run.study, run.results["sites"]
    roles: dict[str, list[str]] = {"train": [], "external": []}
    for name, one in sites.items():
        roles[one["role"]].append(name)
    positive = sum(one["patients"]["positive"] for one in sites.values())
    negative = sum(one["patients"]["negative"] for one in sites.values())
    looked = [group for group in groups if group.external]
    each = (
        "each patient of a training site validates in one fold"
        if study.folds > 1
        else f"{study.cohort.validation_fraction:g} of each class validates"
    )
    filled_covariates = run.results["filled_covariates"]
    covariates = (
        "values of covariates were filled by their mean: "
        + listed([f"{name} {count(number)}" for name, number in filled_covariates.items()])
        if filled_covariates
        else "no value was filled in"
    )
    described = run.optional("described") is not None
    return Facts(
        study=study,
        settings=run.settings,
        sites=f"{len(sites)} sites: {listed(roles['train'])} train"
        + (f", {listed(roles['external'])} external" if roles["external"] else ", none external"),
        patients=f"{count(positive + negative)} patients used",
        events=f"{count(positive)} {study.outcome.positive}, {count(negative)} "
        f"{study.outcome.negative}",
        external=listed([group.name for group in looked]) if looked else "",
        missing=f"A case without an image, mask or label is refused before the run; {covariates}. "
        f"Questions that a site missed: {len(run.results['missing'])}.",
        partition=f"By patient, stratified by class, at the site, from seed {study.seed}; "
        f"{plural(study.folds, 'fold')}, {each}. External sites never train.",
        performance="AUC with DeLong's interval, sensitivity, specificity and predictive values "
        "with Wilson's, at a threshold frozen before any external site was asked (section 2).",
        described=described,
        flow="Section 1.3"
        + ("." if described else ": patients used; listed and excluded unknown."),
        subgroups=run.optional("subgroups") is not None,
        recalibrated=recalibrated,
        attention=run.optional("attention") is not None,
        left_out=run.left_out is not None,
    )
