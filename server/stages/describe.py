"""Describe: the flow of patients at each site, and table 1 of those whom a total may hide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from common.heads import below
from common.messages import Arrays, DescribeAnswer, DescribeQuestion, EnrolAnswer
from common.patient_flow import LISTED, USED, flow_shapes
from common.secure_sum import FEWEST
from common.statistics.table_one import NumberSums
from common.study import Study
from common.study_report import Variable
from common.table_cells import bins_of, cell_shapes, level_cells, number_cells, sum_shapes
from server.federation import Federation
from server.firewall import ROUNDING, require, require_arrays
from server.roster import Roster
from server.total import total

TOGETHER = "training sites together"
"""The group of table 1 that a sum is of."""


@dataclass(frozen=True, eq=False)
class DescribedPatients:
    """Flows by site; and by group (a site, or the training sites together) the cells of table 1."""

    flows: dict[str, Arrays]
    groups: dict[str, dict[str, Arrays]] = field(default_factory=dict)


def run(federation: Federation, roster: Roster, study: Study) -> DescribedPatients:
    """Ask every site for its flow; sum table 1 over training sites, and ask others for their own.

    Where the study sums nothing under masks, every site is a group of its own: its histograms in
    the clear would list few patients a bin.
    """
    everyone = [*roster.train, *roster.external]
    flows = federation.ask(
        DescribeQuestion(study.fingerprint, "flow"),
        everyone,
        DescribeAnswer,
        check=lambda site, one: _check_flow(roster.answers[site], one),
    )
    found = {site: answer.flow for site, answer in flows.items()}
    if not study.report.has_table:
        return DescribedPatients(found)
    groups: dict[str, dict[str, Arrays]] = {}
    alone = everyone
    if study.secure_sum.enabled:
        groups[TOGETHER] = _together(federation, roster, study)
        alone = [*roster.external]
    if alone:
        tables = federation.ask(
            DescribeQuestion(study.fingerprint, "table"),
            alone,
            DescribeAnswer,
            check=lambda site, one: _check_table(roster.answers[site], study, one),
        )
        for site, answer in tables.items():
            groups[site] = {
                one.name: below(answer.table, one.name) for one in study.report.variables
            }
    return DescribedPatients(found, groups)


def _together(federation: Federation, roster: Roster, study: Study) -> dict[str, Arrays]:
    question = DescribeQuestion(study.fingerprint, "sums")
    pooled = total(
        federation, question, roster, roster.train, DescribeAnswer, _sums_check(study)
    ).answer
    minimum = study.cohort.minimum_patients_per_class
    return {
        variable.name: _cells(below(pooled.sums, variable.name), variable, minimum)
        for variable in study.report.variables
    }


def _cells(block: Arrays, variable: Variable, minimum: int) -> Arrays:
    """Make the cells of a total, which is held against the minimum as a site's own would be.

    A variable that fewer sites know than can hide each other is withheld as a whole.
    """
    hides = int(block.pop("sites")) >= FEWEST
    if not hides:
        shapes = cell_shapes(variable).items()
        return {name: np.zeros(shape, kind) for name, (kind, shape) in shapes}
    if variable.kind == "categorical":
        return level_cells(np.asarray(block["counts"], np.int64), minimum)
    return number_cells(NumberSums.from_arrays(block), variable, minimum)


def _check_flow(own: EnrolAnswer, answer: DescribeAnswer) -> None:
    require_arrays("its flow", answer.flow, flow_shapes())
    require(not answer.table and not answer.sums, "its flow came with what nobody asked for")
    flow = {name: np.asarray(array, np.int64) for name, array in answer.flow.items()}
    require(all((array >= 0).all() for array in flow.values()), "its flow holds negative counts")
    enrolled = np.array([own.negative, own.positive])
    require((flow["used"] <= enrolled).all(), "it used more patients than it enrolled")
    if flow["told"][LISTED] and flow["told"][USED]:
        fits = flow["listed"][0] >= flow["used"].sum() + flow["excluded"].sum()
        require(fits, "its flow does not add up")


def _check_table(own: EnrolAnswer, study: Study, answer: DescribeAnswer) -> None:
    shapes = {
        f"{variable.name}.{name}": shape
        for variable in study.report.variables
        for name, (_, shape) in cell_shapes(variable).items()
    }
    require_arrays("its table", answer.table, shapes)
    require(not answer.flow and not answer.sums, "its table came with what nobody asked for")
    enrolled = np.array([own.negative, own.positive])
    for name, array in answer.table.items():
        if name.rpartition(".")[2] in ("count", "counts"):
            counts = np.asarray(array, np.int64)
            require((counts >= 0).all(), "its table holds negative counts")
            fits = (counts.sum(axis=1) <= enrolled).all()
            require(fits, "its table counts more patients than it enrolled")


def _sums_check(study: Study) -> Callable[[EnrolAnswer, DescribeAnswer], None]:
    """Say what sums of the variables must be like, of a site or of several."""
    shapes = {
        f"{variable.name}.{name}": shape
        for variable in study.report.variables
        for name, (_, shape) in sum_shapes(variable).items()
    }

    def check(own: EnrolAnswer, answer: DescribeAnswer) -> None:
        require_arrays("its sums", answer.sums, shapes)
        require(not answer.flow and not answer.table, "its sums came with what nobody asked for")
        enrolled = np.array([own.negative, own.positive])
        for variable in study.report.variables:
            block = below(answer.sums, variable.name)
            if variable.kind == "categorical":
                counts = np.asarray(block["counts"], np.int64)
                require((counts >= 0).all(), "its sums hold negative counts")
                require((counts.sum(axis=1) <= enrolled).all(), "it counts too many patients")
            else:
                _require_numbers(block, variable, enrolled)

    return check


def _require_numbers(block: Arrays, variable: Variable, enrolled: np.ndarray) -> None:
    """Require sums that numbers within the bounds can have."""
    count, missing = (np.asarray(block[name], np.int64) for name in ("count", "missing"))
    histogram = np.asarray(block["histogram"], np.int64)
    fits = (count >= 0).all() and (missing >= 0).all() and (histogram >= 0).all()
    require(fits, "its sums hold negative counts")
    require((count + missing <= enrolled).all(), "it counts more patients than it enrolled")
    require((histogram.sum(axis=1) == count).all(), "its histogram is not of the patients counted")
    bins, room = bins_of(variable), 1.0 + ROUNDING
    half = (bins.upper - bins.lower) / 2.0
    total_, squares = (np.asarray(block[name], np.float64) for name in ("total", "squares"))
    fits = (np.abs(total_) <= room * half * count).all()
    fits = fits and (squares >= -ROUNDING).all() and (squares <= room * half**2 * count).all()
    require(fits, "its sums are not those of numbers within the bounds")
