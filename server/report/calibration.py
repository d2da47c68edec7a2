"""Section 3: calibration, decision curves, and recalibration where it was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.heads import MODELS, SCORED
from common.statistics.calibration import (
    BrierScore,
    CalibrationGroup,
    brier_score,
    calibration_groups,
)
from common.statistics.calibration_line import CalibrationLine, calibration_line, recalibration
from common.statistics.calibration_line import Recalibration as Line
from common.statistics.checks import StatisticsError
from common.statistics.decision_curve import DecisionCurve, decision_curve
from server.report.canvas import Picture
from server.report.curves import calibration_picture, decision_picture
from server.report.populations import Population, Scored
from server.report.record import FinishedRun

PATIENTS_A_GROUP = 10
GROUPS_AT_MOST = 10
THRESHOLDS = np.arange(1, 81) / 100.0
IN_TABLE = (5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80)
"""Thresholds, in per cent, that stand in the table of a decision curve."""


@dataclass(frozen=True)
class Calibration:
    """How well one model's scores are probabilities, for one group of patients."""

    model: str
    groups: list[CalibrationGroup]
    line: CalibrationLine
    brier: BrierScore
    mean_score: float
    prevalence: float
    picture: Picture


@dataclass(frozen=True, eq=False)
class Decision:
    """The decision curves of the three models, and the rows of their table."""

    curves: dict[str, DecisionCurve]
    picture: Picture
    rows: list[int]


@dataclass(frozen=True)
class Recalibrated:
    """The line fitted on the training sites' validation patients; None and `why` without one."""

    model: str
    patients: int
    line: Line | None
    why: str


def context(run: FinishedRun, groups: Sequence[Population], recalibrate: bool) -> dict[str, Any]:
    """Gather what the section's template reads."""
    drawn = [group for group in groups if group.drawn]
    shown = [group for group in drawn if group.external] or drawn
    lines = recalibrations(run) if recalibrate else []
    predicted = {one.model: one.line.predicted() for one in lines if one.line is not None}
    return {
        "calibrations": {group.name: _calibrations(group) for group in shown},
        "decisions": {group.name: _decision(group) for group in shown},
        "recalibrate": recalibrate,
        "recalibrations": lines,
        "recalibrated": {
            group.name: _calibrations(group, predicted)
            for group in shown
            if group.external and predicted
        },
        "recalibrated_decisions": {
            group.name: _net_benefit(group, predicted)
            for group in shown
            if group.external and predicted
        },
        "shown": shown,
    }


def calibrate(
    group: Population, own: Scored, predicted: NDArray[np.float64] | None = None
) -> Calibration:
    """Compute one model's calibration on one group; `predicted` (1001,) after recalibration."""
    histogram = own.histogram
    if histogram is None:
        raise StatisticsError(f"There is no histogram of {group.name}.", "Keep evidence.json.")
    everybody = histogram.sum(axis=0)
    patients = int(everybody.sum())
    number = max(2, min(GROUPS_AT_MOST, patients // PATIENTS_A_GROUP))
    found = calibration_groups(histogram, number, predicted)
    line = calibration_line(histogram, predicted)
    mean = sum(one.patients * one.predicted for one in found) / patients
    return Calibration(
        own.model,
        found,
        line,
        brier_score(histogram, predicted),
        mean,
        float(histogram[1].sum() / patients),
        calibration_picture(group, own, found, line, predicted),
    )


def recalibrations(run: FinishedRun) -> list[Recalibrated]:
    """Fit a line for each model on validation patients of the training sites, and nobody else."""
    seen = None if run.evidence is None else run.evidence.validation
    found = []
    for model in MODELS:
        if seen is None:
            why = "the run keeps no exact scores of validation patients"
            found.append(Recalibrated(model, 0, None, why))
            continue
        histogram = seen[SCORED.index((model, "harmonized"))]
        patients = int(histogram.sum())
        try:
            found.append(Recalibrated(model, patients, recalibration(histogram), ""))
        except StatisticsError as error:
            found.append(Recalibrated(model, patients, None, error.what))
    return found


def _calibrations(
    group: Population, predicted: dict[str, NDArray[np.float64]] | None = None
) -> list[Calibration]:
    if predicted is None:
        return [calibrate(group, own) for own in group.models.values()]
    return [calibrate(group, group.models[model], own) for model, own in predicted.items()]


def _net_benefit(
    group: Population, predicted: dict[str, NDArray[np.float64]]
) -> dict[str, DecisionCurve]:
    return {
        model: decision_curve(own.histogram, THRESHOLDS, predicted.get(model))
        for model, own in group.models.items()
        if own.histogram is not None
    }


def _decision(group: Population) -> Decision:
    curves = _net_benefit(group, {})
    rows = [int(np.flatnonzero(np.isclose(THRESHOLDS, at / 100))[0]) for at in IN_TABLE]
    return Decision(curves, decision_picture(group, curves), rows)
