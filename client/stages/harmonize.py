"""Harmonize: the site's half of distributed ComBat, over the training patients of each fold."""

from __future__ import annotations

import numpy as np

from client.context import SiteContext
from client.fold_features import design
from common.covariates import covariate_spec
from common.errors import TooFewPatients
from common.heads import under
from common.messages import Arrays, HarmonizeAnswer, HarmonizeQuestion
from common.statistics.intraclass import pair_sums
from common.study_tables import Harmonization
from harmonization import combat_sums, covariate_sums


def answer(question: HarmonizeQuestion, context: SiteContext) -> HarmonizeAnswer:
    """Sum covariates, features, or how features agree over two masks, of every fold."""
    sums: Arrays = {}
    for fold in range(context.study.folds):
        if question.step == "covariates":
            own = _covariates(context, fold)
        elif question.step == "reproducibility":
            own = _pairs(context, fold)
        else:
            own = _features(context, fold, np.asarray(question.means[str(fold)], np.float64))
        sums |= under(own, str(fold))
    return HarmonizeAnswer(sums)


def _covariates(context: SiteContext, fold: int) -> Arrays:
    rows = context.rows
    chosen = np.flatnonzero(rows.trains(fold))
    columns = {name: [values[i] for i in chosen] for name, values in rows.covariates.items()}
    sums: Arrays = covariate_sums(covariate_spec(context.study), columns, rows=chosen.size).arrays()
    return sums


def _features(context: SiteContext, fold: int, means: np.ndarray) -> Arrays:
    rows, study = context.rows, context.study
    trains = rows.trains(fold)
    batch = np.array(rows.batch)[trains]
    _refuse_small(batch, study.harmonization, rows.site)
    covariates = design(rows, study, means)
    sums = combat_sums(
        rows.features[trains],
        covariates.z[trains],
        batch,
        reference_batch=study.harmonization.reference or None,
    )
    classes = np.bincount(rows.labels[trains], minlength=2).astype(np.int64)
    filled = np.array([covariates.missing[name] for name in rows.covariates], np.int64)
    return sums.arrays() | {"classes": classes, "filled": filled}


def _pairs(context: SiteContext, fold: int) -> Arrays:
    """Sums over the slices with two masks; zeros where there are none."""
    rows = context.rows
    chosen = rows.trains(fold) & rows.paired
    other = rows.features if rows.second is None else rows.second
    sums: Arrays = pair_sums(rows.features[chosen], other[chosen], rows.patient[chosen]).arrays()
    return sums


def _refuse_small(batch: np.ndarray, rule: Harmonization, site: str) -> None:
    """Refuse a batch below the minimum before anything is trained, where the study says so."""
    names, counts = np.unique(batch, return_counts=True)
    small = [str(name) for name in names[counts < rule.minimum_rows]]
    if small and rule.below_minimum == "refuse":
        raise TooFewPatients(
            f"At {site} these batches have fewer than {rule.minimum_rows} training slices: "
            f"{', '.join(small)}.",
            "Join the scanner with a like one, or set harmonization.below_minimum to 'mean_only'.",
        )
