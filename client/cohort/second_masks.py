"""The same slices measured a second time, with another mask: another reader's, or a changed one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.cohort.patients import Case
from client.imaging import extract as imaging
from client.imaging.recipes import preprocessing_of, radiomics_of
from common.errors import CohortError
from common.study import Study

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def second_cases(
    first: Sequence[imaging.Case], cases: Sequence[Case], study: Study
) -> list[imaging.Case | None]:
    """Say what has to be measured a second time, case by case; None where there is no other mask.

    Another reader may have drawn other slices: all of a second mask are measured, and those that
    both have are compared.
    """
    how = study.reduction.second_mask
    if not study.reduction.measures_icc:
        return [None] * len(first)
    if how != "column":
        return [replace(one, perturbed=how) for one in first]
    return [
        replace(one, mask=case.second_mask, slices=None) if case.second_mask else None
        for one, case in zip(first, cases, strict=True)
    ]


def second_features(
    first: Sequence[imaging.Case],
    cases: Sequence[Case],
    measured: Sequence[imaging.CaseFeatures],
    study: Study,
    cache: Path,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Floats]:
    """Measure each case with its second mask: (n, 939), in the order of its own slices.

    Rows of slices that the second mask lacks are NaN.

    Raises
    ------
    CohortError
        A case cannot be measured with its second mask; all are listed.
    """
    wanted = second_cases(first, cases, study)
    found = iter(
        imaging.extract_cases(
            [one for one in wanted if one is not None],
            preprocessing_of(study.preprocessing),
            radiomics_of(study.radiomics),
            cache,
            workers=workers,
            progress=progress,
        )
    )
    again = [None if one is None else next(found) for one in wanted]
    faults = [one.fault for one in again if one is not None and one.fault is not None]
    if faults:
        raise CohortError(
            "\n".join(str(fault) for fault in faults),
            f"{len(faults)} case(s) cannot be measured with their second mask: correct it, or "
            "empty the cell of the column second_mask.",
        )
    return [_matched(one, other) for one, other in zip(measured, again, strict=True)]


def enough(second: Floats, owner: Ints, folds: Ints, study: Study) -> Floats | None:
    """Give the second features (n, p) back if sums over them may leave, else None.

    Fewer patients with two masks than the study's minimum, in the training or, with several folds,
    the validation part of any fold, and the site says that it has none.

    Parameters
    ----------
    owner
        (n,) the patient of each slice.
    folds
        (P,) the fold in which each patient validates.
    """
    has = np.unique(owner[np.isfinite(second).all(axis=1)])
    least = study.cohort.minimum_patients_per_class
    validating = np.array([(folds[has] == fold).sum() for fold in range(study.folds)])
    few = has.size - validating < least
    if study.folds > 1:
        few |= (validating > 0) & (validating < least)
    return None if few.any() else second


def _matched(first: imaging.CaseFeatures, second: imaging.CaseFeatures | None) -> Floats:
    rows = np.full(first.features.shape, np.nan)
    if second is not None:
        own = {z: row for z, row in zip(second.slices, second.features, strict=True)}
        for place, z in enumerate(first.slices):
            if z in own:
                rows[place] = own[z]
    return rows
