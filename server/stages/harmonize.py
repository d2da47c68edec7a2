"""Harmonize: add the ComBat sums of the training sites, and solve each fold's reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.covariates import covariate_spec
from common.errors import HarmonizationError
from common.heads import below
from common.messages import Arrays, EnrolAnswer, HarmonizeAnswer, HarmonizeQuestion
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
from server.reproducibility import reproducibility
from server.roster import Roster
from server.total import total

_MEANS = ("total", "count")


@dataclass(frozen=True, eq=False)
class Harmonized:
    """Each fold's reference and covariate means; `classes` (F, 2), the pooled slices of each class.

    `filled` counts, by covariate, the slices at training sites whose value was filled.
    Where the study asks for it, `icc` holds each fold's intra-class correlations (p,), and `pairs`
    over how many slices, patients and sites they are.
    """

    references: list[Reference]
    means: list[NDArray[np.float64]]
    classes: NDArray[np.int64]
    filled: dict[str, int]
    icc: Sequence[NDArray[np.float64]] = ()
    pairs: Sequence[dict[str, int]] = ()

    @property
    def class_weights(self) -> NDArray[np.float64]:
        """Weights (F, 2) that make the classes of each fold equal."""
        return np.array([balanced_weights(*own) for own in self.classes.tolist()])


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
        pooled = total(
            federation,
            question,
            roster,
            roster.train,
            HarmonizeAnswer,
            _sums_check(study, features),
        ).answer
        references, classes = [], []
        filled = np.zeros(len(study.harmonization.covariates), np.int64)
        for fold in range(study.folds):
            block = below(pooled.sums, str(fold))
            classes.append(np.asarray(block.pop("classes"), np.int64))
            filled = np.asarray(block.pop("filled"), np.int64)
            references.append(
                solve_reference(
                    CombatSums.from_arrays(block),
                    reference_batch=study.harmonization.reference or None,
                    names=spec.names,
                )
            )
    except SolverError as error:
        raise HarmonizationError(str(error)) from error
    names = [covariate.name for covariate in study.harmonization.covariates]
    counts = dict(zip(names, filled.tolist(), strict=True))
    if not study.reduction.measures_icc:
        return Harmonized(references, means, np.array(classes), counts)
    icc, pairs = reproducibility(federation, roster, study, features)
    return Harmonized(references, means, np.array(classes), counts, icc, pairs)


def _sums_check(study: Study, features: int) -> Callable[[EnrolAnswer, HarmonizeAnswer], None]:
    """Say what sums must be like, of a site or of several."""
    width = len(covariate_spec(study).names)
    sums = combat_shapes(features, width)
    if study.harmonization.reference:
        sums |= {f"reference.{name}": shape for name, shape in sums.items()}
    sums |= {"classes": (2,), "filled": (len(study.harmonization.covariates),)}
    shapes = {f"{fold}.{key}": shape for fold in range(study.folds) for key, shape in sums.items()}

    def check(own: EnrolAnswer, answer: HarmonizeAnswer) -> None:
        require_arrays("its sums", answer.sums, shapes)
        slices = own.slices
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
    if not study.harmonization.fills:
        return [np.zeros(0) for _ in range(study.folds)]
    question = HarmonizeQuestion(study.fingerprint, "covariates")
    pooled = total(
        federation, question, roster, roster.train, HarmonizeAnswer, _means_check(study, spec)
    ).answer
    return [
        solve_means(CovariateSums.from_arrays(below(pooled.sums, str(fold))), spec.names)
        for fold in range(study.folds)
    ]


def _means_check(
    study: Study, spec: CovariateSpec
) -> Callable[[EnrolAnswer, HarmonizeAnswer], None]:
    """Say what sums of covariates must be like, of a site or of several."""
    width = len(spec.names)
    shapes = {f"{fold}.{key}": (width,) for fold in range(study.folds) for key in _MEANS}

    def check(own: EnrolAnswer, answer: HarmonizeAnswer) -> None:
        require_arrays("its sums of covariates", answer.sums, shapes)
        for fold in range(study.folds):
            for count in np.asarray(answer.sums[f"{fold}.count"], np.float64):
                require_count("its number of values", float(count), 0, own.slices)

    return check
