"""Calibrate: the operating point of each model, from validation patients, then frozen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.heads import SCORED, heads_to_arrays, under
from common.messages import Arrays, CalibrateAnswer, CalibrateQuestion
from common.release import FoldModel
from common.statistics.operating_point import threshold_for_sensitivity
from common.study import Study
from server.federation import Federation
from server.stages.enrol import Roster


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Thresholds in the order of `SCORED`, pooled histograms (M, 2, 1001), within-site sums."""

    thresholds: list[float]
    histograms: NDArray[np.int64]
    within: NDArray[np.float64]


def run(federation: Federation, roster: Roster, study: Study, folds: list[FoldModel]) -> Calibrated:
    """Freeze the thresholds."""
    heads: Arrays = {}
    for number, fold in enumerate(folds):
        heads |= under(heads_to_arrays(fold.heads), str(number))
    answers = federation.ask(
        CalibrateQuestion(study.fingerprint, heads), roster.train, CalibrateAnswer
    )
    histograms = np.sum([one.histograms for one in answers.values()], axis=0)
    target = study.operating_point.sensitivity
    thresholds = [threshold_for_sensitivity(histograms[row], target) for row in range(len(SCORED))]
    within = np.sum([one.within for one in answers.values()], axis=0)
    return Calibrated(thresholds, histograms, within)
