"""Harmonize: add the ComBat sums of the training sites, and solve each fold's reference."""

from __future__ import annotations

from collections.abc import Callable
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
    combat_shapes,
    solve_means,
    solve_reference,
)
from harmonization.errors import HarmonizationError as SolverError
from server.federation import Federation
from server.firewall import require, require_arrays, require_count, require_products
from server.stages.enrol import Roster

_MEANS = ("total", "count")


@dataclass(frozen=True, eq=False)
class Harmonized:
    """Each fold's reference and covariate means; class weights (F, 2) of the pooled slices.

    `filled` counts, by covariate, the slices at training sites whose value was filled.
    """

    references: list[Reference]
    means: list[NDArray[np.float64]]
    class_weights: NDArray[np.float64]
    filled: dict[str, int]


def run(federation: Federation, roster: Roster, study: Study, features: int) -> Harmonized:
    """Solve the reference of every fold from the training sites' sums over so many features.

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
        answers = federation.ask(
            question, roster.train, HarmonizeAnswer, check=_sums_check(roster, study, features)
        )
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


def _sums_check(
    roster: Roster, study: Study, features: int
) -> Callable[[str, HarmonizeAnswer], None]:
    """Say what every site's sums must be like."""
    width = len(covariate_spec(study).columns)
    own = combat_shapes(features, width)
    if study.harmonization.reference:
        own |= {f"reference.{name}": shape for name, shape in own.items()}
    own |= {"classes": (2,), "filled": (len(study.harmonization.covariates),)}
    shapes = {f"{fold}.{key}": shape for fold in range(study.folds) for key, shape in own.items()}

    def check(site: str, answer: HarmonizeAnswer) -> None:
        require_arrays("its sums", answer.sums, shapes)
        slices = roster.answers[site].slices
        for fold in range(study.folds):
            block = below(answer.sums, str(fold))
            count = float(block["count"])
            require_count("its number of slices", count, 1, slices)
            classes = np.asarray(block["classes"], np.float64)
            fits = (classes >= 0).all() and classes.sum() == count
            require(fits, "its classes do not add up to its slices")
            filled = np.asarray(block["filled"], np.float64)
            require(((filled >= 0) & (filled <= count)).all(), "it filled more values than it has")
            _require_products(block)
            if study.harmonization.reference:
                reference = below(block, "reference")
                most = int(count)
                require_count("its reference's slices", float(reference["count"]), 0, most)
                _require_products(reference)

    return check


def _require_products(block: Arrays) -> None:
    squares, design = block["s_xx_diag"], block["s_zz"].diagonal()
    require_products("its sums", block["s_zx"], design[:, None], squares)
    require_products("its sums", block["s_zz"], design[:, None], design)


def _means(
    federation: Federation, roster: Roster, study: Study, spec: CovariateSpec
) -> list[NDArray[np.float64]]:
    """Covariate means of each fold, where the study fills missing values; else empty."""
    if study.harmonization.missing == "refuse" or not spec.names:
        return [np.zeros(0) for _ in range(study.folds)]
    question = HarmonizeQuestion(study.fingerprint, "covariates")
    answers = federation.ask(
        question, roster.train, HarmonizeAnswer, check=_means_check(roster, study, spec)
    )
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


def _means_check(
    roster: Roster, study: Study, spec: CovariateSpec
) -> Callable[[str, HarmonizeAnswer], None]:
    """Say what every site's sums of covariates must be like."""
    width = len(spec.columns)
    shapes = {f"{fold}.{key}": (width,) for fold in range(study.folds) for key in _MEANS}

    def check(site: str, answer: HarmonizeAnswer) -> None:
        require_arrays("its sums of covariates", answer.sums, shapes)
        for fold in range(study.folds):
            for count in np.asarray(answer.sums[f"{fold}.count"], np.float64):
                require_count("its number of values", float(count), 0, roster.answers[site].slices)

    return check


def _block(answer: HarmonizeAnswer, fold: int) -> Arrays:
    return below(answer.sums, str(fold))
