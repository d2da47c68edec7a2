"""Calibrate from noisy histograms: the operating point as far as the noise lets it be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.heads import MODELS, SCORED
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
    """Thresholds in the order of `SCORED`; noisy histograms (3, 2, 20) of `MODELS`, sd of a bin.

    The models without harmonisation have the thresholds of those with it.
    """

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
    bin_sd = noise_of(study).scores * float(np.sqrt(len(MODELS) * len(summed.sites)))
    found = {
        model: noisy_threshold(own[1], target, bin_sd)
        for model, own in zip(MODELS, counts, strict=True)
    }
    return NoisilyCalibrated(
        [found[model] for model, _ in SCORED],
        counts,
        bin_sd,
    )


def _check(_: EnrolAnswer, answer: CalibrateAnswer) -> None:
    """Require the shape: with noise a count may be negative."""
    noisy = {"noisy": answer.noisy}
    require_arrays("its histograms", noisy, {"noisy": (len(MODELS), 2, COARSE)})
    require(answer.histograms.size == 0, "it sent counts without noise")
    require(answer.within.size == 0, "it sent an AUC without noise")
