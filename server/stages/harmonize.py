"""Harmonize: add the ComBat sums of the training sites, and solve each fold's reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from common.covariates import covariate_spec
from common.errors import HarmonizationError
from common.heads import below
from common.messages import Arrays, HarmonizeAnswer, HarmonizeQuestion
from common.statistics.logistic import balanced_weights
from common.study import Study
from harmonization import (
    CombatSums,
    CovariateSpec,
    CovariateSums,
    Reference,
    solve_means,
    solve_reference,
)
from harmonization.errors import HarmonizationError as SolverError
from server.federation import Federation
from server.stages.enrol import Roster


@dataclass(frozen=True, eq=False)
class Harmonized:
    """Each fold's reference and covariate means; class weights (F, 2) of the pooled slices.

    `filled` counts, by covariate, the slices at training sites whose value was filled.
    """

    references: list[Reference]
    means: list[NDArray[np.float64]]
    class_weights: NDArray[np.float64]
    filled: dict[str, int]


def run(federation: Federation, roster: Roster, study: Study) -> Harmonized:
    """Solve the reference of every fold from the training sites' sums.

    Raises
    ------
    HarmonizationError
        The sums allow no solution (a covariate constant within every batch, say).
    """
    spec = covariate_spec(study)
    try:
        means = _means(federation, roster, study, spec)
        question = HarmonizeQuestion(
            study.fingerprint, "features", {str(fold): mean for fold, mean in enumerate(means)}
        )
        answers = federation.ask(question, roster.train, HarmonizeAnswer)
        references, weights = [], []
        filled = np.zeros(len(study.harmonization.covariates), np.int64)
        for fold in range(study.folds):
            blocks = [below(answer.sums, str(fold)) for answer in answers.values()]
            classes = reduce(add, (block.pop("classes") for block in blocks))
            filled = np.sum([np.asarray(block.pop("filled"), int) for block in blocks], axis=0)
            sums = reduce(add, (CombatSums.from_arrays(block) for block in blocks))
            references.append(
                solve_reference(
                    sums,
                    reference_batch=study.harmonization.reference or None,
                    names=spec.names,
                )
            )
            weights.append(balanced_weights(int(classes[0]), int(classes[1])))
    except SolverError as error:
        raise HarmonizationError(str(error)) from error
    names = [covariate.name for covariate in study.harmonization.covariates]
    counts = dict(zip(names, filled.tolist(), strict=True))
    return Harmonized(references, means, np.array(weights), counts)


def _means(
    federation: Federation, roster: Roster, study: Study, spec: CovariateSpec
) -> list[NDArray[np.float64]]:
    """Covariate means of each fold, where the study fills missing values; else empty."""
    if study.harmonization.missing == "refuse" or not spec.names:
        return [np.zeros(0) for _ in range(study.folds)]
    question = HarmonizeQuestion(study.fingerprint, "covariates")
    answers = federation.ask(question, roster.train, HarmonizeAnswer)
    return [
        solve_means(
            reduce(
                add,
                (CovariateSums.from_arrays(_block(answer, fold)) for answer in answers.values()),
            ),
            spec.names,
        )
        for fold in range(study.folds)
    ]


def _block(answer: HarmonizeAnswer, fold: int) -> Arrays:
    return below(answer.sums, str(fold))
