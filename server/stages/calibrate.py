"""Calibrate: the operating point of each model, from validation patients, then frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.heads import SCORED, heads_to_arrays, under
from common.messages import Arrays, CalibrateAnswer, CalibrateQuestion, EnrolAnswer
from common.release import FoldModel
from common.statistics.operating_point import threshold_for_sensitivity
from common.statistics.scores import BINS
from common.study import Study
from server.federation import Federation
from server.firewall import (
    MOST_VARIANCE,
    ROUNDING,
    require,
    require_arrays,
    require_histograms,
)
from server.roster import Roster
from server.total import total


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Thresholds in the order of `SCORED`, pooled histograms (M, 2, 1001), within-site sums."""

    thresholds: list[float]
    histograms: NDArray[np.int64]
    within: NDArray[np.float64]


def run(
    federation: Federation,
    roster: Roster,
    sites: Sequence[str],
    study: Study,
    folds: list[FoldModel],
) -> Calibrated:
    """Freeze the thresholds, from the validation patients of the sites that fitted the heads."""
    question = question_of(study, folds)
    pooled = total(federation, question, roster, sites, CalibrateAnswer, _check).answer
    target = study.operating_point.sensitivity
    thresholds = [
        threshold_for_sensitivity(pooled.histograms[row], target) for row in range(len(SCORED))
    ]
    return Calibrated(thresholds, pooled.histograms, pooled.within)


def question_of(study: Study, folds: Sequence[FoldModel]) -> CalibrateQuestion:
    """Ask for the scores by each fold's heads."""
    heads: Arrays = {}
    for number, fold in enumerate(folds):
        heads |= under(heads_to_arrays(fold.heads), str(number))
    return CalibrateQuestion(study.fingerprint, heads)


def _check(own: EnrolAnswer, answer: CalibrateAnswer) -> None:
    """Require counts of the site's patients, and an AUC that is one."""
    require_histograms(answer.histograms, (len(SCORED), 2, BINS), own)
    require_within(answer.within, len(SCORED), own)


def require_within(within: NDArray[np.float64], models: int, own: EnrolAnswer) -> None:
    """Require within-site sums (models, 3) of the site's patients, and AUCs in 0 to 1."""
    require_arrays("its within-site sums", {"within": within}, {"within": (models, 3)})
    weighted, variance, counts = within.T
    patients = own.positive + own.negative
    fits = (counts >= 0.0) & (counts <= patients)
    require(fits.all(), "it counts more patients than it has")
    fits = (variance >= 0.0) & (variance <= MOST_VARIANCE * counts**2 * (1.0 + ROUNDING))
    require(fits.all(), "a variance in its within-site sums is not that of an AUC")
    fits = (weighted >= 0.0) & (weighted <= counts * (1.0 + ROUNDING))
    require(fits.all(), "an AUC of its is outside 0 to 1")
