"""Calibrate from noisy histograms: the operating point as far as the noise lets it be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.heads import SCORED
from common.messages import CalibrateAnswer, EnrolAnswer
from common.privacy.histograms import COARSE, noisy_threshold
from common.privacy.of_study import noise_of
from common.release import FoldModel
from common.study import Study
from server.federation import Federation
from server.firewall import require, require_arrays
from server.roster import Roster
from server.stages.calibrate import question_of
from server.total import total


@dataclass(frozen=True, eq=False)
class NoisilyCalibrated:
    """Thresholds in the order of `SCORED`; noisy histograms (M, 2, 20) and the sd of a bin."""

    thresholds: list[float]
    histograms: NDArray[np.float64]
    bin_sd: float


def run(
    federation: Federation,
    roster: Roster,
    sites: Sequence[str],
    study: Study,
    folds: list[FoldModel],
) -> NoisilyCalibrated:
    """Freeze the thresholds, from the validation patients of the sites that made the heads."""
    question = question_of(study, folds)
    summed = total(federation, question, roster, sites, CalibrateAnswer, _check)
    counts = summed.answer.noisy
    target = study.operating_point.sensitivity
    a_site = noise_of(study).scores * float(np.sqrt(len(SCORED)))
    return NoisilyCalibrated(
        [noisy_threshold(own[1], target) for own in counts],
        counts,
        a_site * float(np.sqrt(len(summed.sites))),
    )


def _check(_: EnrolAnswer, answer: CalibrateAnswer) -> None:
    """Require the shape: with noise a count may be negative."""
    noisy = {"noisy": answer.noisy}
    require_arrays("its histograms", noisy, {"noisy": (len(SCORED), 2, COARSE)})
    require(answer.histograms.size == 0, "it sent counts without noise")
    require(answer.within.size == 0, "it sent an AUC without noise")
