"""Validate: ask the external sites once, with everything frozen; every look is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.messages import ValidateAnswer, ValidateQuestion
from common.release import FoldModel, folds_to_arrays
from common.statistics.delong import PlacementSums, covariance_from_sums
from common.statistics.sums import total
from common.study import Study
from server.federation import Federation
from server.stages.enrol import Roster


@dataclass(frozen=True, eq=False)
class Validated:
    """Answers by external site; over several sites also the pooled AUC (M,) and covariance."""

    answers: dict[str, ValidateAnswer]
    pooled: tuple[NDArray[np.float64], NDArray[np.float64]] | None


def run(
    federation: Federation,
    roster: Roster,
    study: Study,
    folds: list[FoldModel],
    thresholds: list[float],
) -> Validated:
    """Score the external sites' patients; with several sites, compare over them as well."""
    if not roster.external:
        return Validated({}, None)
    release = folds_to_arrays(folds) | {"thresholds": np.array(thresholds)}
    question = ValidateQuestion(study.fingerprint, "scores", release=release)
    answers = federation.ask(question, roster.external, ValidateAnswer)
    if len(answers) < 2:
        return Validated(answers, None)
    histograms = np.sum([one.histograms for one in answers.values()], axis=0)
    second = ValidateQuestion(study.fingerprint, "placements", histograms={"pooled": histograms})
    placements = federation.ask(second, roster.external, ValidateAnswer)
    sums = total([PlacementSums.from_arrays(one.placements) for one in placements.values()])
    return Validated(answers, covariance_from_sums(sums))
