"""Harmonize from noisy moments: the same reference, solved from sums that hide each patient."""

from __future__ import annotations

import numpy as np

from common.errors import HarmonizationError
from common.heads import below
from common.messages import EnrolAnswer, HarmonizeAnswer, HarmonizeQuestion
from common.study import Study
from harmonization import CombatSums, combat_shapes, solve_reference
from harmonization.errors import HarmonizationError as SolverError
from server.federation import Federation
from server.firewall import require, require_arrays, require_count
from server.roster import Roster
from server.stages.harmonize import Harmonized
from server.total import Check, total


def run(federation: Federation, roster: Roster, study: Study, features: int) -> Harmonized:
    """Solve the reference of every fold; the classes are those of the patients who enrolled.

    Raises
    ------
    HarmonizationError
        The sums allow no solution.
    """
    nothing = np.zeros(0)
    question = HarmonizeQuestion(
        study.fingerprint, "features", {str(fold): nothing for fold in range(study.folds)}
    )
    check = _check_of(study, features)
    pooled = total(federation, question, roster, roster.train, HarmonizeAnswer, check).answer
    try:
        references = [
            solve_reference(CombatSums.from_arrays(below(pooled.sums, str(fold))))
            for fold in range(study.folds)
        ]
    except SolverError as error:
        raise HarmonizationError(str(error)) from error
    classes = np.tile(roster.classes(study), (study.folds, 1))
    return Harmonized(references, [nothing] * study.folds, classes, {})


def _check_of(study: Study, features: int) -> Check[HarmonizeAnswer]:
    """Say what noisy sums must be like, of a site or of several."""
    shapes = {
        f"{fold}.{name}": shape
        for fold in range(study.folds)
        for name, shape in combat_shapes(features, 0).items()
    }

    def check(own: EnrolAnswer, answer: HarmonizeAnswer) -> None:
        require_arrays("its sums", answer.sums, shapes)
        for fold in range(study.folds):
            # Noise may add patients, but not more than it leaves of them.
            require_count(
                "its number of patients",
                float(answer.sums[f"{fold}.count"]),
                1,
                10 * (own.positive + own.negative),
            )
            spread = np.asarray(answer.sums[f"{fold}.s_xx_diag"], np.float64)
            require((spread > 0.0).all(), "a spread in its sums is not above 0")

    return check
